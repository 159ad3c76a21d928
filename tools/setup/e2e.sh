#!/bin/bash
# e2e.sh PRESET [NAME]: the end-to-end tests (tests/e2e) against build/PRESET/headgate, on one real Kafka and one redis-server
# that are started for the run. NAME picks tests/e2e/NAME*.test.mjs.
set -euo pipefail
. "$(dirname "$0")/common.sh"
export HEADGATE_BUILD=$root/build/$1
name=${2:-}
say "end-to-end tests of build/$1${name:+: $name}"
# The limit is for a file that does not end; each test has its own.
exec timeout --foreground 60m node "$root/tests/support/run.mjs" "$root"/tests/e2e/"$name"*.test.mjs
