#!/bin/bash
# Every relative link in the project's pages leads to a file, every anchor to a heading, every test that ARCHITECTURE.md names to a
# test.
set -euo pipefail
cd "${ROOT:-$(dirname "$0")/../..}"
bad=0
wrong() { echo "$1"; bad=1; }

# The anchor of a heading as the forges make it: lower case, punctuation dropped, blanks to dashes.
anchors() { sed -n 's/^##* //p' "$1" | tr '[:upper:]' '[:lower:]' | sed 's/[^a-z0-9 _-]//g; s/ /-/g'; }

for page in $(find . -name '*.md' -not -path '*/node_modules/*' -not -path './build/*' -not -path './.*' | cut -c3-); do
    while read -r link; do
        file=${link%%#*} anchor=
        case $link in *://* | mailto:*) continue ;; *#*) anchor=${link#*#} ;; esac
        target=$(dirname "$page")/$file
        [ -n "$file" ] || target=$page
        if [ ! -e "$target" ]; then
            wrong "$page: no $link"
        elif [ -n "$anchor" ] && ! anchors "$target" | grep -qxF -- "$anchor"; then
            wrong "$page: no heading for $link"
        fi
    done < <(grep -oE '\]\([^) ]+\)' "$page" | sed 's/^](//; s/)$//')
done

[ -e ARCHITECTURE.md ] || exit $bad
while read -r name; do
    compgen -G "tests/$name.*" >/dev/null || [ -e "tests/$name" ] || wrong "ARCHITECTURE.md: no test $name"
done < <(grep -oE '`(e2e|worker|master|common/sys|model|proto)/[a-z0-9_./]+`' ARCHITECTURE.md | tr -d '`' | grep -E '^e2e/|_test$|^model/' | sort -u)
exit $bad
