"""The lame-duck layer on a real cluster: rollouts under load, server × {nothing, outside, inside, both}.

    tests/cluster/up && tests/cluster/layer/build && scripts/servers
    tests/cluster/exec .venv/bin/python tests/cluster/layer/measure.py [--minutes N] [SERVER …]   what is not kept yet
    tests/cluster/exec .venv/bin/python tests/cluster/layer/measure.py [--minutes N] readiness    row i, keep and fail
    .venv/bin/python tests/cluster/layer/measure.py page                                          docs/layer.md's table

The traffic of `bench/layer_table.py` (300 requests/s on new and kept-alive connections, one in a hundred takes 1 s; 2
rollouts of 3 replicas), from the node's own namespace to the Service's address. What results.json has is not measured
again, and after `--minutes` nothing more is begun: it can be done in pieces. gRPC's clients are `grpc_load.py`'s. The
namespace is deleted at the end.
"""

from __future__ import annotations

import argparse
import datetime
import json
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
sys.path.insert(0, str(ROOT / "bench"))
import layer_table  # noqa: E402
import servers  # noqa: E402

from lameduck.core.plan import DisruptionPlan, Plan  # noqa: E402
from lameduck.kube.cluster import KubeCluster, Wish  # noqa: E402
from lameduck.kube.connect import find_context  # noqa: E402
from lameduck.kube.workload import parse_target  # noqa: E402
from lameduck.proving import prove  # noqa: E402

NAMESPACE = "lame-duck-layer"
KEPT = HERE / "results.json"
RUNS = Path("/tmp/lame-duck-layer")
PAGE = ROOT / "docs/layer.md"
BEGIN, END = "<!-- tests/cluster/layer/measure.py -->", "<!-- end -->"
ROLLOUTS = 2
TIMES = {"inside": 3, "both": 3}
"""How often what is claimed to lose nothing is measured; the others once."""
PYTHON = ("uvicorn", "gunicorn gthread", "granian asgi", "granian wsgi")
BY_LAYER = "grpcio, `options(layer)`"
GRPC = {"grpcio": "", BY_LAYER: "layer", "grpcio, connections end after 2 s": "2000"}
"""Name → grpc.max_connection_age_ms."""
LIGHT4J = ("light-4j 1.5.14", "light-4j 1.5.15")
SERVERS = (*PYTHON, *GRPC, *LIGHT4J, "node")
LONGER = {**layer_table.LONGER, "uvicorn": ("--timeout-keep-alive", "75")}
"""uvicorn's 5 s race likewise: one of four proofs lost a request on a pod that nobody stopped (LD605). Node's too."""
PACKAGES = ("uvicorn", "gunicorn", "granian", "grpcio")


def kubectl(*words: str, about: object = None) -> str:
    """Its output. Raises `SystemExit` with what it said where it fails."""
    text = None if about is None else json.dumps(about)
    command = ["kubectl", "-n", NAMESPACE, *words]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False, timeout=200)
    if done.returncode:
        raise SystemExit(f"kubectl {' '.join(words)}: {done.stderr}")
    return done.stdout


def command(name: str, *, layer: bool) -> list[str]:
    """What a pod of it runs."""
    if name in GRPC:
        return ["python3", "grpc_app.py", "sync", "8080"]
    if name in LIGHT4J:
        own = f"/light4j/{name.split()[1]}"
        java = ["java", "-cp", f"{own}/app.jar:{own}/lib/*"]
        return [*java, *["-Dlameduck=true"] * layer, "com.networknt.server.Server"]
    if name == "node":
        return ["node", "server.js", "8080", "lameduck" if layer else "close"]
    words = [*servers.PYTHON[name], *LONGER.get(name, ())]
    return ["python3", "-m", *(word.replace("{host}", "0.0.0.0").replace("{port}", "8080") for word in words)]


def manifest(
    name: str, *, layer: bool, sleep: int | None, env: dict[str, str], replicas: int, rolling: object
) -> object:
    """Its Deployment and Service."""
    labels = {"app": "web"}
    told = {"LAYER": "on" if layer else "off", "GRPC_AGE_MS": GRPC.get(name, ""), "KEEP_ALIVE_MS": "75000", **env}
    get: object = {"path": env.get("LAMEDUCK_READINESS_PATH", "/fast"), "port": 8080}
    probe: dict[str, Any] = {"httpGet": get}
    if name in GRPC:  # the health service is the layer's
        probe = {"grpc": {"port": 8080}} if layer else {"tcpSocket": {"port": 8080}}
    probe["periodSeconds"] = 1
    container: dict[str, Any] = {
        "name": "web",
        "image": "layer-light4j:1" if name in LIGHT4J else "layer-servers:1",
        "imagePullPolicy": "Never",
        "command": command(name, layer=layer),
        "env": [{"name": key, "value": value} for key, value in told.items()],
        "ports": [{"containerPort": 8080}],
        "readinessProbe": probe,
    }
    if sleep is not None:
        container["lifecycle"] = {"preStop": {"sleep": {"seconds": sleep}}}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    strategy = {"rollingUpdate": rolling}
    spec = {"replicas": replicas, "selector": {"matchLabels": labels}, "strategy": strategy, "template": template}
    place = {"name": "web", "namespace": NAMESPACE}
    ports = [{"port": 80, "targetPort": 8080}]
    items = [
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": place, "spec": spec},
        {"apiVersion": "v1", "kind": "Service", "metadata": place, "spec": {"selector": labels, "ports": ports}},
    ]
    return {"apiVersion": "v1", "kind": "List", "items": items}


def settled(replicas: int) -> None:
    """As many run as are wanted, and whatever ended is gone."""
    kubectl("rollout", "status", "deployment/web", "--timeout=150s")
    end = time.monotonic() + 60
    while len(kubectl("get", "pods", "-l", "app=web", "-o", "name").split()) != replicas:
        if time.monotonic() > end:
            raise SystemExit("the rollout does not settle")
        time.sleep(0.2)


def forget(address: str) -> None:
    """Connections that were never answered stay in the connection table for 120 s, as they were sent: to a pod that is
    dead since, or, by `until_routed`, to no pod at all. The next one from the same port would go there too and be lost
    ("No route to host" after 3 s), in a measurement that has nothing to do with it."""
    subprocess.run(["conntrack", "-D", "-p", "tcp", "-d", address], capture_output=True, check=False)


def until_routed(address: str) -> None:
    """kube-proxy may take seconds to route a Service whose pods are all new; what it refuses until then is no loss."""
    fine, end = 0, time.monotonic() + 20
    while fine < 20:
        try:
            socket.create_connection((address, 80), 1).close()
            fine += 1
        except OSError:
            fine = 0
        if time.monotonic() > end:
            raise SystemExit("the Service does not answer")
        time.sleep(0.05)


def measure(
    name: str,
    *,
    layer: bool,
    sleep: int | None,
    env: dict[str, str] | None = None,
    replicas: int = 3,
    rolling: object = None,
) -> dict[str, Any]:
    """One proof of it: what was lost of how much."""
    kubectl("delete", "deployment", "web", "--ignore-not-found", "--wait")
    kubectl("delete", "pods", "-l", "app=web", "--force", "--grace-period=0")
    rolling = rolling or {"maxSurge": 1, "maxUnavailable": 0}
    about = manifest(name, layer=layer, sleep=sleep, env=env or {}, replicas=replicas, rolling=rolling)
    kubectl("apply", "-f", "-", about=about)
    settled(replicas)
    address = kubectl("get", "service", "web", "-o", "jsonpath={.spec.clusterIP}")
    until_routed(address)
    forget(address)
    folder = RUNS / f"{name}-{time.strftime('%H%M%S')}"
    found = grpc_rollouts(address, replicas, folder) if name in GRPC else proof(folder)
    return {"date": str(datetime.datetime.now(datetime.UTC).date()), **found}


def proof(folder: Path) -> dict[str, Any]:
    """`lameduck prove deployment/web`, with two kinds of requests; a run in which something was lost is kept."""
    plan = Plan(layer_table.traffic(), DisruptionPlan(times=ROLLOUTS))
    context = find_context(namespace=NAMESPACE)
    wish = Wish(context, parse_target("deployment/web", NAMESPACE), plan.disruption)
    made = prove(lambda observe, run: KubeCluster(wish, observe, run), plan, run_dir=folder)
    if not made.failed:
        shutil.rmtree(folder)
    return layer_table.said(made)


def grpc_rollouts(address: str, replicas: int, folder: Path) -> dict[str, Any]:
    """The same rollouts under `grpc_load.py`; what was lost when is kept in `folder`."""
    words = [servers.BIN / "python", HERE / "grpc_load.py", f"{address}:80", str(layer_table.RATE)]
    load = subprocess.Popen([*words, str(layer_table.SLOW_SHARE)], stdout=subprocess.PIPE, text=True)
    try:
        time.sleep(3)
        for _ in range(ROLLOUTS):
            kubectl("rollout", "restart", "deployment/web")
            settled(replicas)
        time.sleep(2)
        load.send_signal(signal.SIGINT)
        out, _ = load.communicate(timeout=60)
    finally:
        load.kill()
    found = dict(json.loads(out))
    if losses := found.pop("losses"):
        folder.mkdir(parents=True)
        (folder / "losses.json").write_text(json.dumps(losses, indent=1) + "\n")
    return found


def wanted(names: list[str]) -> Iterator[tuple[str, str, int]]:
    """Server, way and how many times; what the claim rests on first."""
    for way in ("inside", "both", "nothing", "outside"):
        with_layer, _ = layer_table.WAYS[way]
        for number in range(TIMES.get(way, 1)):
            yield from ((name, way, number) for name in names if with_layer or name != BY_LAYER)


def kept() -> dict[str, dict[str, list[dict[str, Any]]]]:
    """Server → way → what came out."""
    return dict(json.loads(KEPT.read_text())) if KEPT.exists() else {}


def keep(name: str, way: str, found: dict[str, Any]) -> None:
    """Add one, and say it. What showed nothing is not kept."""
    sys.stdout.write(f"{time.strftime('%T')} {name}, {way}: {found}\n")
    sys.stdout.flush()
    if found["verdict"] == "INCONCLUSIVE":
        return
    results = kept()
    results.setdefault(name, {}).setdefault(way, []).append(found)
    KEPT.write_text(json.dumps(results, indent=1) + "\n")


def all_ways(names: list[str], until: float) -> None:
    """Whatever is not kept of these servers."""
    for name, way, number in wanted(names):
        if len(kept().get(name, {}).get(way, ())) > number or time.monotonic() > until:
            continue
        layer, sleep = layer_table.WAYS[way]
        keep(name, way, measure(name, layer=layer, sleep=sleep))


def readiness(until: float) -> None:
    """Truth row i: a single replica that is replaced in place, three times each."""
    for number in range(3):
        for said in ("keep", "fail"):
            if len(kept().get("readiness", {}).get(said, ())) > number or time.monotonic() > until:
                continue
            env = {"LAMEDUCK_READINESS": said, "LAMEDUCK_READINESS_PATH": "/ready", "LAMEDUCK_LEAST": "8"}
            place = {"replicas": 1, "rolling": {"maxSurge": 0, "maxUnavailable": 1}}
            keep("readiness", said, measure("uvicorn", layer=True, sleep=None, env=env, **place))  # type: ignore[arg-type]


def page() -> None:
    """Put the table between its marks."""
    results = kept()
    lines = [f"| server | {' | '.join(layer_table.WAYS)} |".replace("inside", "**inside**")]
    lines += ["| --- " * (1 + len(layer_table.WAYS)) + "|"]
    for name in (name for name in SERVERS if name in results):
        cells = (", ".join(map(layer_table.cell, results[name].get(way, ()))) or "–" for way in layer_table.WAYS)
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    dates = sorted({one["date"] for ways in results.values() for found in ways.values() for one in found})
    lines += ["", f"`tests/cluster/layer/measure.py`, {' and '.join(dates)}; {versions()}."]
    if "readiness" in results:
        lost = {said: ", ".join(str(one["lost"]) for one in found) for said, found in results["readiness"].items()}
        lines += ["", "One replica, replaced in place, uvicorn, `least` 8 s: "]
        lines[-1] += "; ".join(f"`readiness={said}` lost {numbers}" for said, numbers in lost.items()) + "."
    before, rest = PAGE.read_text().split(BEGIN)
    PAGE.write_text(f"{before}{BEGIN}\n" + "\n".join(lines) + f"\n{END}{rest.split(END, 1)[1]}")


def versions() -> str:
    """What the images were built of, as the lock and the modules' pins say."""
    lock = (ROOT / "requirements-servers.lock").read_text()
    pins = dict(re.findall(r"^([a-z0-9-]+)==(\S+)", lock, re.MULTILINE))
    said = [f"{name} {pins[name]}" for name in PACKAGES]
    node, java = (
        subprocess.run([name, "--version"], capture_output=True, text=True, check=False).stdout
        for name in ("node", "java")
    )
    kubernetes = re.search(r"k8s.io/kubernetes v(\S+)", (HERE.parent / "go.mod").read_text())
    return ", ".join(
        [
            *said,
            f"Node {node.strip().lstrip('v')}",
            " ".join(java.split()[:2]),
            f"Kubernetes {kubernetes[1] if kubernetes else ''}",
        ]
    )


def main() -> int:
    """As the module says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=600, metavar="N")
    parser.add_argument("what", nargs="*", metavar="SERVER", help=f"{', '.join(SERVERS)}; readiness; page")
    said = parser.parse_args()
    if said.what == ["page"]:
        page()
        return 0
    until = time.monotonic() + 60 * said.minutes
    kubectl("apply", "-f", "-", about={"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    try:
        if said.what == ["readiness"]:
            readiness(until)
        else:
            all_ways(said.what or list(SERVERS), until)
    finally:
        kubectl("delete", "namespace", NAMESPACE, "--wait=true", "--timeout=120s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
