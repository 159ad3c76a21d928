#!/bin/bash
# docs.sh write|check: the files that the binary prints from its tables: references in docs/, the example configuration, and
# headgate.conf(5) made of it.
set -euo pipefail
. "$(dirname "$0")/common.sh"
cd "$root"
bin=build/release/headgate
files=(docs/CONFIG.md docs/METRICS.md docs/CODES.md docs/OPS.md deploy/headgate.conf.example docs/man/headgate.conf.5)

printed() {
    case $1 in
    docs/CONFIG.md) "$bin" --print=docs ;;
    docs/METRICS.md) "$bin" --print=metrics ;;
    docs/CODES.md) "$bin" --print=codes ;;
    docs/OPS.md) "$bin" --print=ops ;;
    deploy/headgate.conf.example) "$bin" --print=example ;;
    docs/man/headgate.conf.5) "$bin" --print=example | tools/setup/man_conf.sh ;;
    esac
}

failed=0
for file in "${files[@]}"; do
    new=build/docs/$file
    mkdir -p "$(dirname "$file")" "$(dirname "$new")"
    printed "$file" >"$new"
    [ -s "$new" ] || fail "nothing was printed for $file"
    case $1 in
    write) cp "$new" "$file" ;;
    check)
        if ! diff -u "$file" "$new" | head -20; then
            echo "$file differs from the tables; run: make -f Makefile.ci docs"
            failed=1
        fi
        ;;
    esac
done
exit $failed
