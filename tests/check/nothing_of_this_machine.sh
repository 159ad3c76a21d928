#!/bin/bash
# No absolute path of a developer's machine, no registry's address and nothing unfinished in what is committed.
set -euo pipefail
cd "$(dirname "$0")/../.."
bad=0
refuse() {
    local found
    found=$(git grep -nIE "$2" -- . ':!tests/check/nothing_of_this_machine.sh' ':!LICENSE' || true)
    [ -z "$found" ] || { echo "$1:"; echo "$found" | head -10; bad=1; }
}
refuse 'a path of one machine' '(^|[^a-z.])/(home|work|Users)/[a-z]'
refuse 'an address of a package registry' 'registry\.npmjs|repo[0-9]*\.maven|deb\.debian\.org|pypi\.org|crates\.io|proxy\.golang'
refuse 'something unfinished' '\b(TODO|FIXME|XXX|HACK)\b'
git ls-files | grep -E '(^|/)(node_modules/|.*\.(jar|class|o|a|so|pyc)$)' && { echo "built things are committed"; bad=1; }
exit $bad
