"""What `measure.py` measures: kinds of traffic, and ways to stop. A row is one of each: ``new/sleep-5``."""

from __future__ import annotations

from typing import Any

NAMESPACE, TOKEN = "pod-measure", "0123456789abcdef"
PYTHON, JAVA, DRAIN = "pod-measure:1", "pod-light4j:2", "lameduck-pod:measure"
POD = ["python3", "-IS", "/lameduck-pod.pyz"]
QUIET = ["--port", "8080", "--grace", "40"]
SAFE = {
    "runAsNonRoot": True,
    "readOnlyRootFilesystem": True,
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}
HTTP = {"httpGet": {"port": 9190, "path": "/prestop", "httpHeaders": [{"name": "Lameduck-Token", "value": TOKEN}]}}
SIDECAR = {
    "name": "drain",
    "image": DRAIN,
    "imagePullPolicy": "Never",
    "restartPolicy": "Always",
    "securityContext": SAFE,
    "resources": {"limits": {"memory": "25Mi"}},
    "args": ["drain", "--listen", "9190", *QUIET],
    "env": [{"name": "LAMEDUCK_TOKEN", "value": TOKEN}],
}
WAYS: dict[str, tuple[str, dict[str, Any]]] = {
    "nothing": ("nothing", {}),
    **{f"sleep-{n}": (f"`preStop: sleep {n}`", {"hook": {"sleep": {"seconds": n}}}) for n in (3, 5, 10, 15)},
    "delay-3": ("`run --delay 3`, no preStop", {"run": ["--delay", "3", "--grace", "40"]}),
    "run": ("`run --until-quiet`, no preStop", {"run": ["--until-quiet", *QUIET]}),
    "exec": ("`drain` as exec hook", {"hook": {"exec": {"command": [*POD, "drain", *QUIET]}}, "run": []}),
    "sidecar": ("`drain` as sidecar", {"hook": HTTP, "sidecar": SIDECAR}),
}
"""Name → how the table has it, and what is in the pod."""
TRAFFIC: dict[str, tuple[str, dict[str, Any]]] = {
    "new": ("a new connection for each request", {}),
    "told": ('half of them kept alive, and the server reads "draining"', {"lanes": "new,reuse", "layer": True}),
    "untold": ("half of them kept alive, and the server is not told", {"lanes": "new,reuse"}),
    "light4j": ("light-4j 1.5.15, started by a bash script without `exec` under `run`", {"java": True}),
    "slow": ("one request in 50 takes 8 s", {"slow": 50}),
    "held": ("kube-proxy held for 8 s from the first deletion on", {"hold": 8}),
    "traefik": ("through Traefik and its pool of idle connections; the server is not told", {"ingress": True}),
    "low": ("5 requests/s in all", {"rate": 5}),
    "node": ("a node is drained (`kubectl drain`, two nodes in turn)", {"node": True}),
}
"""Name → how the table has it, and what is special."""
DEFAULT: dict[str, tuple[str, ...]] = {
    "new": ("nothing", "sleep-3", "sleep-5", "sleep-10", "sleep-15", "delay-3", "run", "exec", "sidecar"),
    "told": ("run", "exec", "sidecar"),
    "untold": ("sleep-5", "sleep-10", "run", "exec", "sidecar"),
    "light4j": ("nothing", "sleep-10", "run", "exec", "sidecar"),
    "slow": ("sleep-5", "sleep-10", "run", "exec", "sidecar"),
    "held": ("sleep-5", "sleep-10", "run", "exec", "sidecar"),
    "traefik": ("sleep-3", "sleep-10", "run", "exec", "sidecar"),
    "low": ("run", "exec", "sidecar"),
    "node": ("sleep-10", "run", "exec", "sidecar"),
}
NAMES = [f"{traffic}/{way}" for traffic, ways in DEFAULT.items() for way in ways]


def parts(name: str) -> dict[str, Any]:
    """Everything that makes a row."""
    traffic, _, way = name.partition("/")
    return {"lanes": "new", "rate": 500, **TRAFFIC[traffic][1], **WAYS[way][1]}


def deployment(name: str) -> dict[str, Any]:
    """The Deployment of a row: 3 replicas, a readiness probe each second on the serving port, a grace of 40 s."""
    row = parts(name)
    java = row.get("java", False)
    app = ["bash", "/srv/start.sh"] if java else ["python3", "-S", "/app.py"]
    run = row.get("run", [] if java else None)
    env = [{"name": "LAYER", "value": "1" if row.get("layer") else "0"}]
    env += [{"name": "SLOW_EVERY", "value": str(row.get("slow", 0))}]
    env += [{"name": "LAMEDUCK_TOKEN", "value": TOKEN}] if "sidecar" in row else []
    container: dict[str, Any] = {
        "name": "app",
        "image": JAVA if java else PYTHON,
        "imagePullPolicy": "Never",
        "command": app if run is None else [*POD, "run", *run, "--", *app],
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
        "initContainers": [row["sidecar"]] if "sidecar" in row else [],
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


def around() -> dict[str, Any]:
    """What every row shares: Service, Ingress, disruption budget."""
    place = {"name": "web", "namespace": NAMESPACE}
    backend = {"service": {"name": "web", "port": {"number": 80}}}
    rule = {"http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}
    selector = {"matchLabels": {"app": "web"}}
    return {
        "apiVersion": "v1",
        "kind": "List",
        "items": [
            {"apiVersion": "v1", "kind": "Service", "metadata": place,
             "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]}},
            {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": place, "spec": {"rules": [rule]}},
            {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": place,
             "spec": {"maxUnavailable": 1, "selector": selector}},
        ],
    }  # fmt: skip
