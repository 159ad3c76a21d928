#!/bin/bash
# Every header compiles by itself, so that the order of includes never matters.
set -euo pipefail
cd "$(dirname "$0")/../.."
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
one() {
    # A header of the one C++ file is read by C++.
    local out
    if ! out=$(echo "#include \"$1\"" | ${CC:-cc} -std=gnu11 -D_GNU_SOURCE -DHG_VERSION='"0"' -Wall -Wextra -Werror -I. -fsyntax-only -x c - 2>&1); then
        echo "$1 does not compile alone:"
        echo "$out" | head -5
        return 1
    fi
}
export -f one
git ls-files 'common/*.h' 'proto/*.h' 'worker/*.h' 'master/*.h' | xargs -P "$(nproc)" -I{} bash -c 'one {}'
