#!/bin/bash
# run.sh [flags]: headgate --dev in the foreground. It starts and stops its own broker, SQL worker and change source.
set -euo pipefail
. "$(dirname "$0")/common.sh"
bin=$root/build/release/headgate

say "starting headgate --dev $*; Ctrl-C stops it and all it has started"
announce_console "$("$bin" --dev "$@" --print=effective | port_of_settings)" $$
exec "$bin" --dev "$@"
