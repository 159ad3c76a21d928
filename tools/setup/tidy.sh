#!/bin/bash
# tidy.sh JOBS: clang-tidy with .clang-tidy over the sources that build/debug compiles.
set -euo pipefail
. "$(dirname "$0")/common.sh"
"$root/tools/setup/apt.sh" checks
cd "$root"
exec run-clang-tidy -quiet -j "$1" -p build/debug "$root/(common|proto|worker|master|tools)/.*\.c$"
