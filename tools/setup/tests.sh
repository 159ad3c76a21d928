#!/bin/bash
# tests.sh: what the tests need: Debian packages, npm packages, the jars of Apache Kafka, a schema checker, tina4. Quiet when all is there.
set -euo pipefail
. "$(dirname "$0")/common.sh"
"$root/tools/setup/apt.sh" build test checks package deploy
"$root/tools/setup/kafka.sh" jars
"$root/tools/setup/manifests.sh"
"$root/tools/setup/tina4.sh"
cd "$root/tests"
# npm writes .package-lock.json last, so a newer one means that the whole of package-lock.json is there.
if [ ! node_modules/.package-lock.json -nt package-lock.json ]; then
    say "fetching the npm packages of the tests"
    npm ci --no-fund --no-audit --loglevel=error
    touch node_modules/.package-lock.json
fi
