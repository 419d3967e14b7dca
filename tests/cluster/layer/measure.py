"""The lame-duck layer on a real cluster: rollouts of a Deployment without a preStop, with the layer and without it.

    tests/cluster/up && tests/cluster/layer/build
    tests/cluster/exec .venv/bin/python tests/cluster/layer/measure.py [SERVER …]

`lameduck prove deployment/web` from the node's namespace: 200 requests/s, half on new connections, 2 rollouts of 3
replicas. Says one line for each server and way; its namespace is deleted at the end.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

NAMESPACE = "lame-duck-layer"
LAMEDUCK = Path(__file__).parents[3] / ".venv/bin/lameduck"
SERVERS = {
    "uvicorn": "uvicorn --host 0.0.0.0 --port 8080 --log-level error asgi_app:app",
    "gunicorn gthread": "gunicorn -b 0.0.0.0:8080 --threads 16 --log-level error --no-control-socket wsgi_app:app",
    "granian wsgi": "granian --host 0.0.0.0 --port 8080 --interface wsgi --blocking-threads 8 wsgi_app:app",
}


def kubectl(*words: str, text: str | None = None) -> str:
    """Its output. Raises `SystemExit` with what it said where it fails."""
    done = subprocess.run(["kubectl", *words], input=text, capture_output=True, text=True, check=False, timeout=200)
    if done.returncode:
        raise SystemExit(f"kubectl {' '.join(words)}: {done.stderr}")
    return done.stdout


def manifest(command: str, layer: str) -> str:
    """A Deployment of three and its Service."""
    labels = {"app": "web"}
    container = {
        "name": "web",
        "image": "layer-servers:1",
        "imagePullPolicy": "Never",
        "command": ["python3", "-m", *command.split()],
        "env": [{"name": "LAYER", "value": layer}],
        "ports": [{"containerPort": 8080}],
        "readinessProbe": {"httpGet": {"path": "/fast", "port": 8080}, "periodSeconds": 1},
    }
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    place = {"name": "web", "namespace": NAMESPACE}
    items = [
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": place,
            "spec": {"replicas": 3, "selector": {"matchLabels": labels}, "template": template},
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": place,
            "spec": {"selector": labels, "ports": [{"port": 80, "targetPort": 8080}]},
        },
    ]
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": items})


def measure(name: str, layer: str) -> str:
    """One proof, in a line."""
    kubectl("apply", "-f", "-", text=manifest(SERVERS[name], layer))
    kubectl("-n", NAMESPACE, "rollout", "status", "deployment/web", "--timeout=150s")
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "proof.json"
        words = ["prove", "deployment/web", "-n", NAMESPACE, "--qps", "200", "--rollouts", "2", "--path", "/fast"]
        words += ["--yes", "--quiet", "--run-dir", f"{folder}/run", "--json", str(out)]
        done = subprocess.run([LAMEDUCK, *words], capture_output=True, text=True, check=False, timeout=400)
        if not out.exists():
            return f"exit {done.returncode}: {done.stderr.strip()[-300:]}"
        proof = json.loads(out.read_text())
    codes = sorted({finding["code"] for finding in proof["findings"] if finding["symptom"]})
    return f"{proof['verdict']} {proof['failed']} of {proof['requests']} {proof['failures_by_lane']} {codes}"


def main() -> None:
    """Every server asked for, or all."""
    kubectl(
        "apply", "-f", "-", text=json.dumps({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    )
    try:
        for name in sys.argv[1:] or SERVERS:
            for way, layer in (("nothing", "off"), ("inside", "on"), ("inside", "on")):
                sys.stdout.write(f"{name}, {way}: {measure(name, layer)}\n")
                sys.stdout.flush()
    finally:
        kubectl("delete", "namespace", NAMESPACE, "--wait=true", "--timeout=120s")


if __name__ == "__main__":
    main()
