#!/bin/bash
# Close codes are a column of common/base/err.def; no other source knows a number from 1001 to 1015.
set -euo pipefail
cd "$(dirname "$0")/../.."
# Comments may name them; a code is a bare decimal number. The codec that judges a peer's close code knows the ranges of RFC 6455 7.4.
found=$(grep -rnE '\b10(0[1-9]|1[0-5])\b' proto worker master --include='*.[ch]' |
    sed -E 's@/\*.*\*/@@; s@//.*@@' | grep -E ':[0-9]+:.*\b10(0[1-9]|1[0-5])\b' |
    grep -vE '^[^:]+:[0-9]+:[[:space:]]*\*' | grep -vE '^proto/ws_(msg|frame)\.c:' || true)
[ -z "$found" ] || { echo "close codes outside err.def:"; echo "$found"; exit 1; }
