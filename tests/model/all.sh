#!/bin/sh
# Checks the ring's model and its mistakes: needs spin and gcc. "holds" must be the answer for the first, "fails" for the others.
set -u
here=$(cd "$(dirname "$0")" && pwd)
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir" || exit 1
bad=0

check() { # expected name flags...
    want=$1 name=$2
    shift 2
    spin "$@" -a "$here/ring.pml" >spin.out 2>&1 && gcc -O2 -w -DSAFETY -DCOLLAPSE -o pan pan.c || { cat spin.out; exit 1; }
    ./pan -m1000000 -w24 -E >pan.out 2>&1
    if grep -q 'errors: 0' pan.out && ! grep -q 'too small' pan.out; then got=holds; else got=fails; fi
    states=$(awk '/states, stored/ {print $1}' pan.out)
    echo "$name: $got (${states} states)"
    [ "$got" = "$want" ] || { echo "  expected: $want"; bad=1; }
}

for rs in 1 2; do
    check holds "takeover, ring of $rs" -DRS=$rs
    check holds "taker reads too, ring of $rs" -DRS=$rs -DREADER=1
    check holds "successor in the seat, ring of $rs" -DRS=$rs -DTAKE=1
done
check fails "hole flagged after the tail moved" -DRS=1 -DHOLELATE=1
check fails "interest read before the append" -DRS=1 -DINTERESTFIRST=1
check fails "interest shown after the walk" -DRS=1 -DBITLATE=1
check fails "looked before the copy" -DRS=1 -DLOOKFIRST=1
check fails "hole flag not looked at before use" -DRS=1 -DNOHOLELOOK=1
check fails "reader starts at the heads" -DATHEAD=1
check fails "share moved before the ring was walked" -DNORULE4=1
check fails "taker consumes before it walked" -DREADER=1 -DNOTAKEWALK=1
# Not a mistake any more: what a record is meant for stands in the record and outlives its writer.
check holds "successor keeps what is meant" -DRS=1 -DTAKE=1 -DKEEPMEANT=1
exit $bad
