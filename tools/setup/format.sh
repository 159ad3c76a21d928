#!/bin/bash
# format.sh check|fix: clang-format over the C sources that git knows.
set -euo pipefail
. "$(dirname "$0")/common.sh"
"$root/tools/setup/apt.sh" checks
cd "$root"
mapfile -t files < <(git ls-files '*.c' '*.h' '*.cc')
case $1 in
fix) clang-format -i "${files[@]}" ;;
check)
    say "format of ${#files[@]} files"
    clang-format --dry-run --Werror "${files[@]}" 2>"$root/build/format.log" ||
        { grep -o '^[^ ]*: error' build/format.log | cut -d: -f1 | sort | uniq -c >&2; fail "run: make -f Makefile.ci format-fix"; }
    ;;
esac
