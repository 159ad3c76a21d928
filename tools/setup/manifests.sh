#!/bin/bash
# manifests.sh: the schema checker of tests/deploy/manifests.sh (it brings Kubernetes' schemas along), into build/cache, once.
set -euo pipefail
. "$(dirname "$0")/common.sh"
dir=$cache/manifests
want=kubernetes-validate==1.37.0
[ "$(cat "$dir/done" 2>/dev/null)" != "$want" ] || exit 0
python3 -c "import venv, ensurepip" 2>/dev/null || "$root/tools/setup/apt.sh" python
say "fetching kubernetes-validate (22 MB, once)"
rm -rf "$dir"
python3 -m venv "$dir"
"$dir/bin/pip" install -q --disable-pip-version-check "$want"
echo "$want" >"$dir/done"
