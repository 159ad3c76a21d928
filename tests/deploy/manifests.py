"""Called by manifests.sh: manifests.py ROOT HEADGATE. Prints what is wrong; exit code 1 if anything is."""
import copy
import glob
import os
import re
import subprocess
import sys
import tempfile

import kubernetes_validate
import yaml

root, headgate = sys.argv[1:]
wrong = []


def expect(truth, text):
    if not truth:
        wrong.append(text)


def seconds(text):
    return int(re.fullmatch(r"(\d+)s", text).group(1))


def conf_of(text):
    rows = (line.split("#")[0].split("=", 1) for line in text.splitlines())
    return {r[0].strip(): r[1].strip() for r in rows if len(r) == 2}


def check_conf(name, text=None, env=None):
    """headgate --check on a file's text, or on an environment."""
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as f:
        f.write(text or "")
        f.flush()
        done = subprocess.run([headgate, "--check", "--config", f.name], env={**os.environ, **(env or {})}, capture_output=True, text=True)
    expect(done.returncode == 0 and "warning" not in done.stderr, f"{name}: headgate --check says: {done.stderr.strip()}")


def is_valid(doc, version):
    try:
        kubernetes_validate.validate(doc, version, strict=True)
        return None
    except kubernetes_validate.ValidationError as e:
        return f"{'.'.join(str(p) for p in e.path)}: {e.message}"


docs = {}
for path in sorted(glob.glob(f"{root}/deploy/k8s/*.yaml")):
    for doc in yaml.safe_load_all(open(path)):
        docs[doc["kind"]] = doc
        for version in ("1.27", "1.30", "1.33"):
            why = is_valid(doc, version)
            expect(why is None, f"{os.path.basename(path)}, Kubernetes {version}: {why}")

deployment, service, budget, config = (docs[k] for k in ("Deployment", "Service", "PodDisruptionBudget", "ConfigMap"))
broken = copy.deepcopy(deployment)
broken["spec"]["template"]["spec"]["containers"][0]["livenessProbe"]["httpGet"]["prot"] = 1
expect(is_valid(broken, "1.30") is not None, "the schema check finds nothing")

pod = deployment["spec"]["template"]["spec"]
box = pod["containers"][0]
labels = deployment["spec"]["template"]["metadata"]["labels"]
ports = {p["name"]: p["containerPort"] for p in box["ports"]}
conf_text = config["data"]["headgate.conf"]
conf = conf_of(conf_text)
check_conf("configmap.yaml", conf_text)

for what, selector in (("Deployment", deployment["spec"]["selector"]["matchLabels"]), ("Service", service["spec"]["selector"]),
                       ("PodDisruptionBudget", budget["spec"]["selector"]["matchLabels"])):
    expect(selector.items() <= labels.items(), f"{what} selects other pods than the Deployment makes")
expect(service["spec"]["ports"][0]["targetPort"] in ports, "the Service leads to no port")
expect(all(p["targetPort"] != "admin" for p in service["spec"]["ports"]), "the Service shows the admin port")
for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
    expect(box[probe]["httpGet"]["port"] == "admin", f"{probe} does not ask the admin port")
expect(box["readinessProbe"]["httpGet"]["path"] == "/readyz" and box["livenessProbe"]["httpGet"]["path"] == "/livez", "probe paths")
expect(conf["admin_listen"] == f"0.0.0.0:{ports['admin']}", "admin_listen is not where the probes ask")
expect(conf.get("port", "7000") == str(ports["clients"]), "the clients' port is not that of headgate.conf")
sleep = int(box["lifecycle"]["preStop"]["exec"]["command"][1])
grace = pod["terminationGracePeriodSeconds"]
expect(grace >= sleep + seconds(conf["drain_timeout"]) + 5, f"grace period {grace}s: shorter than preStop, drain and a margin of 5s")
rolling = deployment["spec"]["strategy"]["rollingUpdate"]
expect((rolling["maxSurge"], rolling["maxUnavailable"]) == (1, 0), "a roll-out must add a pod before it takes one")
expect(pod.get("enableServiceLinks") is False, "Kubernetes would set HEADGATE_PORT=tcp://...")
expect(pod["securityContext"].get("runAsNonRoot") and box["securityContext"].get("readOnlyRootFilesystem"), "securityContext")
expect(float(conf["workers"]) <= float(box["resources"]["requests"]["cpu"]), "more workers than CPUs requested")
mounts = {m["mountPath"]: m["name"] for m in box["volumeMounts"]}
expect(os.path.dirname(conf["control_socket"]) in mounts, "the control socket lies on the read-only root")
expect({m for m in mounts.values()} == {v["name"] for v in pod["volumes"]}, "volumes and mounts differ")

compose = yaml.safe_load(open(f"{root}/deploy/compose.yaml"))
services = compose["services"]
for name, s in services.items():
    expect("image" in s, f"compose.yaml: {name} has no image")
    for other in s.get("depends_on", {}):
        expect(other in services, f"compose.yaml: {name} depends on {other}, which is not there")
        if s["depends_on"][other]["condition"] == "service_healthy":
            expect("test" in services[other].get("healthcheck", {}), f"compose.yaml: {other} has no health check to wait for")
    for volume in s.get("volumes", []):
        expect(volume.split(":")[0] in compose["volumes"], f"compose.yaml: {name} wants a volume that is not there")
gateway = services["headgate"]
expect(os.path.exists(os.path.join(root, "deploy", gateway["build"]["context"], gateway["build"]["dockerfile"])), "compose.yaml: no Dockerfile")
check_conf("compose.yaml", env={k: str(v) for k, v in gateway["environment"].items()})
expect(seconds(gateway["stop_grace_period"]) >= 30, "compose.yaml: stop_grace_period is shorter than the drain")
for demo in ("sqlworker", "changes"):
    tool = services[demo]["entrypoint"]
    known = subprocess.run([f"{os.path.dirname(headgate)}/tools/{tool[0]}", "--help"], capture_output=True, text=True).stdout
    for flag in (w for w in tool if w.startswith("--")):
        expect(flag in known, f"compose.yaml: {tool[0]} knows no {flag}")

for text in wrong:
    print(f"FAILED: {text}")
if not wrong:
    print(f"ok: {len(docs)} manifests, compose.yaml")
sys.exit(1 if wrong else 0)
