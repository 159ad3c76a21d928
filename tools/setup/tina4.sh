#!/bin/bash
# tina4.sh: a real tina4 for the tests (tests/requirements-tina4.txt), into build/cache, once. It asks for Python 3.12; its
# WebSocket server, which is all that the tests use, runs on the 3.11 of Debian 12.
set -euo pipefail
. "$(dirname "$0")/common.sh"
dir=$cache/tina4
want=$root/tests/requirements-tina4.txt
! cmp -s "$want" "$dir/done" || exit 0
python3 -c "import venv, ensurepip" 2>/dev/null || "$root/tools/setup/apt.sh" python
say "fetching tina4 (4 MB, once)"
rm -rf "$dir"
python3 -m venv "$dir"
pip() { "$dir/bin/pip" install -q --disable-pip-version-check "$@"; }
grep '^tina4-python' "$want" >"$dir/tina4.txt"
pip -c "$want" redis nats-py
pip --no-deps --ignore-requires-python -r "$dir/tina4.txt"
"$dir/bin/python" -c 'import tina4_python.websocket.backplane'
cp "$want" "$dir/done"
