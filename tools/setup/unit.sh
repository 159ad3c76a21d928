#!/bin/bash
# unit.sh PRESET [ctest arguments]: the unit tests of build/PRESET.
set -euo pipefail
. "$(dirname "$0")/common.sh"
preset=$1
shift
export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_leaks=1:abort_on_error=1}
export UBSAN_OPTIONS=${UBSAN_OPTIONS:-print_stacktrace=1}
export TSAN_OPTIONS=${TSAN_OPTIONS:-halt_on_error=1}
say "unit tests of build/$preset"
exec ctest --test-dir "$root/build/$preset" --output-on-failure --no-tests=error -j "${JOBS:-$(nproc)}" "$@"
