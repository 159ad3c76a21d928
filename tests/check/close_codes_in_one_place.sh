#!/bin/bash
# Close codes are a column of common/base/err.def; no other source of the layers above knows a number from 1001 to 1015.
# Comments may name them. proto/ws_msg judges a peer's close code and knows the ranges of RFC 6455 7.4.
# ROOT is another tree, for checks_can_fail.sh.
set -uo pipefail
cd "${ROOT:-$(dirname "$0")/../..}" || exit 1
bad=0
for folder in proto worker master; do
    [ -d "$folder" ] || continue
    while IFS= read -r file; do
        [[ $file == proto/ws_msg.[ch] ]] && continue
        # -fpreprocessed only takes comments out, and leaves lines where they are.
        found=$(${CC:-cc} -fpreprocessed -dD -E -x c "$file" 2>/dev/null | grep -v '^# [0-9]' |
            grep -E '\b10(0[1-9]|1[0-5])\b') || continue
        echo "$file: a close code outside err.def: $found"
        bad=1
    done < <(find "$folder" -name '*.[ch]' -o -name '*.cc' -o -name '*.def' | sort)
done
exit $bad
