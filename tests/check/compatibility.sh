#!/bin/bash
# docs/compatibility.md has one row for each line of compatibility.items and no other, and each row names tests that exist; a
# row of a defect (B-13) names one with that number in its title.
#   | `item` | of | what works, what differs | `tests/e2e/file.test.mjs`: title of the test<br>`tests/proto/x_test.c`: name_of_it |
# Where a title is put together, … stands for each ${part}.
set -euo pipefail
cd "${ROOT:-$(dirname "$0")/../..}"

lines() { [ ! -e "$1" ] || awk -v kind="$2" '!/^(#|[[:space:]]*$)/ { print kind "\t" $1 }' "$1"; }

# Titles of a file's tests, one a line: test('…'), test("…"), test(`…`), or cmocka's functions.
titles() {
    case $1 in
    *.mjs)
        sed -nE "s/^ *(await )?(t\.)?test\('(([^'\\\\]|\\\\.)*)'.*/\3/p
                 s/^ *(await )?(t\.)?test\(\"(([^\"\\\\]|\\\\.)*)\".*/\3/p
                 s/^ *(await )?(t\.)?test\(\`(([^\`\\\\]|\\\\.)*)\`.*/\3/p" "$1" |
            sed -E 's/\$\{[^}]*\}/…/g; s/\\(.)/\1/g'
        ;;
    *.c) sed -nE 's/^static void ([A-Za-z0-9_]+)\(void \*\*.*/\1/p' "$1" ;;
    esac
}

tests=$({ grep -oE '`tests/[^`]+`: ' docs/compatibility.md 2>/dev/null || true; } | sed 's/^`//; s/`: $//' | sort -u)
{
    lines tests/check/compatibility.items I
    for file in $tests; do
        [ ! -e "$file" ] || { printf 'F\t%s\n' "$file" && titles "$file" | sed "s|^|T\t$file\t|"; }
    done
    { grep -E '^\| `' docs/compatibility.md 2>/dev/null || true; } | sed 's/^/R\t/'
} | awk -F '\t' '
    function wrong(text) { print text; bad = 1 }
    $1 == "I" { if ($2 in item) wrong("compatibility.items: " $2 " is there twice"); item[$2] = 1; order[++items] = $2 }
    $1 == "F" { there[$2] = 1 }
    $1 == "T" { test[$2, $3] = 1 }
    $1 == "R" {
        id = $2; sub(/^\| `/, "", id); sub(/`.*/, "", id)
        if (id in row) wrong("compatibility.md: two rows for " id)
        else if (!(id in item)) wrong("compatibility.md: " id " is no item")
        row[id] = 1
        cells = split($2, cell, / \| /)
        proof = cell[cells]; sub(/ \|$/, "", proof)
        if (cells != 4) wrong("compatibility.md: " id ": " cells " cells instead of 4")
        number = id ~ /^B-[0-9]+$/ ? substr(id, 3) : ""
        named = number == ""
        n = split(proof, part, /<br>/)
        for (i = 1; i <= n; i++) {
            if (part[i] !~ /^`tests\/[^`]+`: ./) { wrong("compatibility.md: " id ": no test in: " part[i]); continue }
            file = part[i]; sub(/^`/, "", file); sub(/`.*/, "", file)
            title = substr(part[i], length(file) + 5)
            if (!(file in there)) wrong("compatibility.md: " id ": no file " file)
            else if (!((file, title) in test)) wrong("compatibility.md: " id ": " file " has no test named: " title)
            if (title ~ "(^|[^0-9A-Za-z])[Bb][-_]?" number "([^0-9]|$)") named = 1
        }
        if (!named) wrong("compatibility.md: " id ": none of its tests has the number in its title")
    }
    END {
        for (i = 1; i <= items; i++)
            if (!(order[i] in row)) wrong("compatibility.md: no row for " order[i])
        exit bad
    }'
