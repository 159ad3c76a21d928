#!/bin/bash
# Every header compiles by itself, so that the order of includes never matters. ROOT is another tree, for checks_can_fail.sh.
set -uo pipefail
cd "${ROOT:-$(dirname "$0")/../..}" || exit 1
one() {
    local out
    if ! out=$(echo "#include \"$1\"" | ${CC:-cc} -std=gnu11 -D_GNU_SOURCE -DHG_VERSION='"0"' -Wall -Wextra -Werror -I. -fsyntax-only -x c - 2>&1); then
        echo "$1 does not compile alone:"
        echo "$out" | head -5
        return 1
    fi
}
export -f one
for folder in common proto worker master tests/support; do
    if [ -d "$folder" ]; then find "$folder" -name '*.h'; fi
done | xargs -P 2 -I{} bash -c 'one {}'
