# Sourced by the scripts beside it. BUILD is the build tree under test; CI=1 turns "cannot be tested here" into a failure.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
build=${BUILD:-$root/build/release}

fail() { echo "FAILED: $*" >&2; exit 1; }
skip() {
    [ -z "${CI:-}" ] || fail "$* (and this is CI, which must have it)"
    echo "skipped: $*"
    exit 77
}
need() { for c in "$@"; do command -v "$c" >/dev/null || skip "no $c here"; done; }
ok() { echo "ok: $*"; }

# eventually SECONDS WHAT COMMAND...: polls until it succeeds.
eventually() {
    local deadline=$((SECONDS + $1)) what=$2
    shift 2
    until "$@" >/dev/null 2>&1; do
        [ $SECONDS -lt "$deadline" ] || fail "$what: not within the deadline"
        sleep 0.1
    done
}
