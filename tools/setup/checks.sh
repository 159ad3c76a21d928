#!/bin/bash
# checks.sh: every script of tests/check; each prints what it found and fails if it found something.
set -euo pipefail
. "$(dirname "$0")/common.sh"
cd "$root"
failed=0
for check in tests/check/*.sh; do
    [ -e "$check" ] || fail "no checks in tests/check"
    if bash "$check"; then
        echo "check $(basename "$check" .sh): ok"
    else
        echo "check $(basename "$check" .sh): FAILED"
        failed=1
    fi
done
exit $failed
