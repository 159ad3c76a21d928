#!/bin/bash
# fuzz.sh SECONDS [NAME]: each fuzz target (or tests/fuzz/NAME_fuzz.c alone) over its corpus for so long, as many at a time as
# there are cores. A finding is kept in build/fuzz/findings and fails the run.
set -euo pipefail
. "$(dirname "$0")/common.sh"
seconds=$1
one=${2:-}
findings=$root/build/fuzz/findings
mkdir -p "$findings"

fuzz_one() {
    local name=$1 grown=$root/build/fuzz/corpus/$1 seeds=$root/tests/fuzz/corpus/$1 log=$root/build/fuzz/$1.log
    mkdir -p "$grown"
    [ -d "$seeds" ] || seeds=
    if ! "$root/build/fuzz/tests/${name}_fuzz" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
        -artifact_prefix="$findings/$name-" "$grown" ${seeds:+"$seeds"} >"$log" 2>&1; then
        tail -40 "$log"
        echo "fuzz $name: FAILED, the whole log is in $log"
        return 1
    fi
    echo "fuzz $name: $(sed -n 's/^stat::number_of_executed_units: *//p' "$log") runs in $seconds s without a finding"
}

names=()
for f in "$root"/tests/fuzz/${one:-*}_fuzz.c; do
    [ -e "$f" ] || fail "no fuzz target $f"
    names+=("$(basename "$f" _fuzz.c)")
done
say "fuzzing ${#names[@]} targets for $seconds s each"
export -f fuzz_one
export root seconds findings
printf '%s\n' "${names[@]}" | xargs -P "$(nproc)" -I{} bash -c 'fuzz_one {}'
