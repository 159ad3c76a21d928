#!/bin/bash
# docs.sh write|check: the references in docs/ as the binary prints them from its tables.
set -euo pipefail
. "$(dirname "$0")/common.sh"
cd "$root"
mkdir -p docs build/docs
declare -A pages=([CONFIG.md]=docs [METRICS.md]=metrics [CODES.md]=codes [OPS.md]=ops)
failed=0
for page in "${!pages[@]}"; do
    build/release/headgate --print="${pages[$page]}" >"build/docs/$page"
    [ -s "build/docs/$page" ] || fail "headgate --print=${pages[$page]} printed nothing"
    case $1 in
    write) cp "build/docs/$page" "docs/$page" ;;
    check)
        if ! diff -u "docs/$page" "build/docs/$page" | head -20; then
            echo "docs/$page differs from the tables; run: make -f Makefile.ci docs"
            failed=1
        fi
        ;;
    esac
done
exit $failed
