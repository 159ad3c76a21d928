#!/bin/bash
# build.sh PRESET: installs what building needs, configures build/PRESET and builds it.
set -euo pipefail
. "$(dirname "$0")/common.sh"
preset=$1
options=(-G Ninja)
targets=()
case $preset in
release) options+=(-DHG_TESTS=OFF) ;; # unit tests are run from debug and the sanitizers' builds
fuzz)
    "$root/tools/setup/apt.sh" fuzz
    for f in "$root"/tests/fuzz/*_fuzz.c; do
        targets+=("$(basename "$f" .c)")
    done
    ;;
esac
"$root/tools/setup/apt.sh" build
cd "$root"
if [ ! -e "build/$preset/build.ninja" ]; then
    say "configuring build/$preset"
    mkdir -p "build/$preset"
    cmake --preset "$preset" "${options[@]}" >"build/$preset/configure.log" 2>&1 ||
        { tail -30 "build/$preset/configure.log" >&2; fail "cmake could not configure build/$preset"; }
fi
say "building build/$preset"
# NINJA_STATUS: plain lines with a count, also where no terminal is.
NINJA_STATUS='   [%f/%t] ' cmake --build "build/$preset" -j "${JOBS:-$(nproc)}" ${targets[@]:+--target "${targets[@]}"}
