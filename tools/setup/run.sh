#!/bin/bash
# run.sh [flags]: headgate --dev in the foreground. It starts its own broker, SQL worker and change source, says
# what to open, and stops them all at Ctrl-C.
set -euo pipefail
. "$(dirname "$0")/common.sh"
bin=$root/build/release/headgate

say "starting headgate --dev $*"
exec "$bin" --dev "$@"
