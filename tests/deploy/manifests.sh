#!/bin/bash
# deploy/k8s against the schemas of several Kubernetes versions, and what no schema knows: ports, probes, labels and the grace
# period fit each other and headgate.conf; compose.yaml names only what is there; the configurations in both pass --check.
# Not tested here: a cluster, a container runtime.
. "$(dirname "$0")/common.sh"
python=$root/build/cache/manifests/bin/python
[ -x "$python" ] || python=python3
"$python" -c 'import yaml, kubernetes_validate' 2>/dev/null || skip "no kubernetes-validate here (tools/setup/manifests.sh installs it)"
exec "$python" "$(dirname "$0")/manifests.py" "$root" "$build/headgate"
