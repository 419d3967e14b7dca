"""`lameduck-pod` on a real cluster: rollouts under 500 requests/s of a server that exits at once on SIGTERM.

    measure.py [--rollouts N] [--lane new|told|both] [--slow-every N] ROW …

wants KUBECONFIG, a way to cluster addresses, and the image `pod-measure:1` (this folder's Dockerfile, with
`scripts/zipapp tests/cluster/pod/lameduck-pod.pyz` before). ROW as in ROWS.

Prints a line for each: failed / requests, from the stop's beginning to the end of the waiting, seconds of a rollout.
"""

from __future__ import annotations

import argparse
import json
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

NAMESPACE, IMAGE, TOKEN = "pod-measure", "pod-measure:1", "0123456789abcdef"
POD = ["python3", "-IS", "/lameduck-pod.pyz"]
QUIET = ["--port", "8080", "--grace", "40"]
SAFE = {
    "runAsNonRoot": True,
    "readOnlyRootFilesystem": True,
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}
APP = ["python3", "-S", "/app.py"]
EXEC = {"exec": {"command": [*POD, "drain", *QUIET]}}
HTTP = {"httpGet": {"port": 9190, "path": "/prestop", "httpHeaders": [{"name": "Lameduck-Token", "value": TOKEN}]}}
SIDECAR = {
    "name": "drain",
    "image": IMAGE,
    "restartPolicy": "Always",
    "securityContext": SAFE,
    "command": [*POD, "drain", "--listen", "9190", *QUIET],
    "env": [{"name": "LAMEDUCK_TOKEN", "value": TOKEN}],
}
ROWS: dict[str, dict[str, Any]] = {
    "nothing": {},
    "sleep-3": {"hook": {"sleep": {"seconds": 3}}},
    "sleep-5": {"hook": {"sleep": {"seconds": 5}}},
    "sleep-10": {"hook": {"sleep": {"seconds": 10}}},
    "sleep-15": {"hook": {"sleep": {"seconds": 15}}},
    "run": {"command": [*POD, "run", "--until-quiet", *QUIET, "--", *APP]},
    "run-delay": {"command": [*POD, "run", "--delay", "3", "--grace", "40", "--", *APP]},
    "exec": {"hook": EXEC, "command": [*POD, "run", "--", *APP]},
    "sidecar": {"hook": HTTP, "sidecar": SIDECAR},
}


def deployment(row: dict[str, Any], lane: str, slow: int) -> dict[str, Any]:
    env = [{"name": "LAYER", "value": "1" if lane == "told" else "0"}, {"name": "SLOW_EVERY", "value": str(slow)}]
    env += [{"name": "LAMEDUCK_TOKEN", "value": TOKEN}] if "sidecar" in row else []
    container = {
        "name": "app",
        "image": IMAGE,
        "imagePullPolicy": "Never",
        "command": row.get("command", APP),
        "env": env,
        "securityContext": SAFE,
        "readinessProbe": {"httpGet": {"path": "/healthz", "port": 8080}, "periodSeconds": 1},
    }
    if "hook" in row:
        container["lifecycle"] = {"preStop": row["hook"]}
    spec = {
        "terminationGracePeriodSeconds": 40,
        "automountServiceAccountToken": False,
        "containers": [container],
        "initContainers": [{**row["sidecar"], "imagePullPolicy": "Never"}] if "sidecar" in row else [],
    }
    labels = {"app": "web"}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": NAMESPACE},
        "spec": {
            "replicas": 3,
            "selector": {"matchLabels": labels},
            "strategy": {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "template": {"metadata": {"labels": labels}, "spec": spec},
        },
    }


SERVICE = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "web", "namespace": NAMESPACE},
    "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]},
}


def kubectl(*argv: str, text: object = None) -> str:
    stdin = None if text is None else json.dumps(text)
    done = subprocess.run(["kubectl", "-n", NAMESPACE, *argv], input=stdin, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"kubectl {' '.join(argv)}: {done.stderr}")
    return done.stdout


def pods() -> dict[str, bool]:
    """Name → whether it is being deleted."""
    items = json.loads(kubectl("get", "pods", "-o", "json"))["items"]
    return {one["metadata"]["name"]: "deletionTimestamp" in one["metadata"] for one in items}


def settled(most: float = 120) -> None:
    kubectl("rollout", "status", "deployment/web", f"--timeout={most:.0f}s")
    end = time.monotonic() + most
    while any(pods().values()) or len(pods()) != 3:
        if time.monotonic() > end:
            raise SystemExit("the rollout does not settle")
        time.sleep(0.2)


def rollout(container: str, box: Path) -> float:
    """Seconds until the last old pod was gone; the old pods' logs, to their end, in `box`."""
    logs = []
    for name in pods():
        file = (box / f"{name}.log").open("w")
        argv = ["kubectl", "-n", NAMESPACE, "logs", "-f", name, "-c", container]
        logs.append(subprocess.Popen(argv, stdout=file, stderr=subprocess.DEVNULL))
    time.sleep(1)
    start = time.monotonic()
    kubectl("rollout", "restart", "deployment/web")
    settled()
    took = time.monotonic() - start
    for log in logs:
        log.wait(20)
    return took


def journal(box: Path) -> list[dict[str, Any]]:
    lines = [line for file in box.glob("*.log") for line in file.read_text().splitlines()]
    return [json.loads(line) for line in lines if line.startswith('{"lameduck"')]


def measure(name: str, lane: str, slow: int, rollouts: int, lameduck: str) -> None:
    row = ROWS[name]
    subprocess.run(["kubectl", "create", "namespace", NAMESPACE], capture_output=True, check=False)
    kubectl("delete", "deployment", "web", "--ignore-not-found", "--wait")
    kubectl("apply", "-f", "-", text=SERVICE)
    kubectl("apply", "-f", "-", text=deployment(row, lane, slow))
    settled()
    address = kubectl("get", "service", "web", "-o", "jsonpath={.spec.clusterIP}")
    lanes = {"new": "new=1", "told": "new,reuse", "both": "new,reuse"}[lane]
    until_routed(lameduck, address)
    box = Path(tempfile.mkdtemp())
    argv = [
        lameduck,
        "load",
        f"http://{address}/",
        "--qps",
        "500",
        "--lanes",
        lanes,
        "--duration",
        "300s",
        "--timeout",
        "15s",
    ]
    load = subprocess.Popen(
        [*argv, "--json", str(box / "load.json"), "--quiet"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    time.sleep(3)
    took = [rollout("drain" if "sidecar" in row else "app", box) for _ in range(rollouts)]
    time.sleep(1)
    load.send_signal(signal.SIGINT)
    load.wait(60)
    result = json.loads((box / "load.json").read_text())
    ends = [e for e in journal(box) if e["event"] == "drained" or e.get("waited_s")]
    waits = sorted(e.get("took_s", e.get("waited_s", 0)) for e in ends)
    reasons = sorted({str(e.get("reason", "")) for e in ends})
    waited = f"{waits[0]:.2f}/{statistics.median(waits):.2f}/{waits[-1]:.2f} {','.join(reasons)}" if waits else "-"
    waited += f" (n={len(waits)})"
    mean = statistics.mean(took)
    line = f"{name:<10} {lane:<5} slow={slow} {summary(result)}  waited {waited}  rollout {mean:.1f} s"
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def until_routed(lameduck: str, address: str) -> None:
    """kube-proxy may take seconds to route a Service whose pods are all new; what it refuses until then is no loss."""
    argv = [lameduck, "load", f"http://{address}/", "--qps", "50", "--lanes", "new=1", "--duration", "3s", "--quiet"]
    for _ in range(10):
        if not subprocess.run(argv, capture_output=True, check=False).returncode:
            return
    raise SystemExit("the Service does not answer")


def summary(result: dict[str, Any]) -> str:
    kinds = ", ".join(f"{n} {kind}" for kind, n in result["failures_by_kind"].items())
    return f"{result['failed']} / {result['requests']} failed" + (f" ({kinds})" if kinds else "")


def main() -> int:
    p = argparse.ArgumentParser()
    p.add_argument("--rollouts", type=int, default=3)
    p.add_argument("--lane", choices=["new", "told", "both"], default="new")
    p.add_argument("--slow-every", type=int, default=0)
    p.add_argument("--lameduck", default="lameduck")
    p.add_argument("row", nargs="+", choices=ROWS)
    a = p.parse_args()
    for row in a.row:
        measure(row, a.lane, a.slow_every, a.rollouts, a.lameduck)
    return 0


if __name__ == "__main__":
    sys.exit(main())
