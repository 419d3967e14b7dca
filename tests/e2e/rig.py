"""Workloads on a real cluster, and `lameduck prove TYPE/NAME` run on them as a user runs it: a process and its JSON."""

from __future__ import annotations

import http.client
import json
import os
import random
import shlex
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

IMAGE = os.environ.get("E2E_IMAGE", "lameduck-e2e:dev")
NAMESPACE = os.environ.get("E2E_NAMESPACE", "lameduck-e2e")
INGRESS = os.environ.get("E2E_INGRESS", "")
"""Where an ingress controller listens: http://HOST:PORT, "" for none."""
BEFORE = shlex.split(os.environ.get("E2E_BEFORE", ""))
"""A command that each proof is run by, such as ``nice`` or ``flock FILE``: for a machine that is shared."""
ASIDE = cycle(random.sample(range(2_000, 10_000), 8_000))
"""Ports that no load is sent from. Who asks a Service before kube-proxy knows it leaves an entry in the connection
table, and for two minutes that leads whoever comes from the same port past every pod (No route to host)."""
LAMEDUCK = [sys.executable, "-m", "lameduck"]


@dataclass(frozen=True)
class Shape:
    """A workload: what its pods run, and the fields of the manifest that decide how they end."""

    run: Sequence[str] = ("lets-go",)
    """A behaviour of tests/proving/servers/zoo.py, and its arguments."""
    script: str = ""
    """The start script in front of it, a name in the same folder."""
    kind: str = "Deployment"
    replicas: int = 3
    grace: int = 30
    hook: Mapping[str, Any] | None = None
    readiness: bool = True
    strategy: Mapping[str, Any] | None = None
    spread: bool = False
    image: str = IMAGE
    environment: Mapping[str, str] = field(default_factory=dict)


def sleep(seconds: int) -> dict[str, Any]:
    """The native preStop action."""
    return {"sleep": {"seconds": seconds}}


def execute(*command: str) -> dict[str, Any]:
    """A preStop command."""
    return {"exec": {"command": list(command)}}


def workload(name: str, shape: Shape) -> dict[str, Any]:
    """Its manifest."""
    server = ["python3", "-S", "/srv/zoo.py", *shape.run]
    container: dict[str, Any] = {
        "name": "app",
        "image": shape.image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["bash", f"/srv/{shape.script}.sh", *server] if shape.script else server,
        "env": [
            {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            {"name": "QUIET", "value": "1"},
            *({"name": key, "value": value} for key, value in shape.environment.items()),
        ],
        "ports": [{"containerPort": 8080}],
    }
    if shape.readiness:
        container["readinessProbe"] = {"httpGet": {"path": "/0", "port": 8080}, "periodSeconds": 1}
    if shape.hook:
        container["lifecycle"] = {"preStop": shape.hook}
    labels = {"app": name}
    pod: dict[str, Any] = {
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": shape.grace,
        "containers": [container],
    }
    if shape.spread:
        pod["topologySpreadConstraints"] = [
            {
                "maxSkew": 1,
                "topologyKey": "kubernetes.io/hostname",
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": labels},
            }
        ]
    spec: dict[str, Any] = {
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": pod},
    }
    if shape.kind != "DaemonSet":
        spec["replicas"] = shape.replicas
    if shape.kind == "StatefulSet":
        spec["serviceName"] = name
    if shape.strategy:
        spec["strategy" if shape.kind == "Deployment" else "updateStrategy"] = shape.strategy
    return {"apiVersion": "apps/v1", "kind": shape.kind, "metadata": {"name": name}, "spec": spec}


def service(name: str) -> dict[str, Any]:
    """A Service in front of it."""
    spec = {"selector": {"app": name}, "ports": [{"port": 80, "targetPort": 8080}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}


def ingress(name: str) -> dict[str, Any]:
    """The host NAME.test, led to that Service."""
    backend = {"service": {"name": name, "port": {"number": 80}}}
    paths = [{"path": "/", "pathType": "Prefix", "backend": backend}]
    spec = {"rules": [{"host": f"{name}.test", "http": {"paths": paths}}]}
    return {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": name}, "spec": spec}


class Cluster:
    """The cluster of $KUBECONFIG; everything is done in one namespace."""

    def kubectl(self, *arguments: str, text: object = None, check: bool = True) -> str:
        """Its standard output. Raises `RuntimeError` with what it complained of."""
        given = None if text is None else json.dumps(text)
        done = subprocess.run(
            ["kubectl", "-n", NAMESPACE, *arguments], input=given, capture_output=True, text=True, check=False
        )
        if check and done.returncode:
            raise RuntimeError(f"kubectl {' '.join(arguments)}: {done.stderr}")
        return done.stdout

    def deploy(self, name: str, shape: Shape, *, through: bool = False) -> None:
        """The workload, its Service and its Ingress; returns when it is ready and answers."""
        objects = [service(name), workload(name, shape), *([ingress(name)] if through else [])]
        self.kubectl("apply", "-f", "-", text={"apiVersion": "v1", "kind": "List", "items": objects})
        self.kubectl("rollout", "status", f"{shape.kind.lower()}/{name}", "--timeout=120s")
        self.answers(INGRESS if through else f"http://{self.address(name)}", f"{name}.test")

    def address(self, name: str) -> str:
        """The Service's address."""
        return self.kubectl("get", "service", name, "-o", "jsonpath={.spec.clusterIP}")

    def answers(self, url: str, host: str, most: float = 30.0) -> None:
        """Until every one of 20 new connections in a row is answered: a data plane takes in a new Service late."""
        end, row, place = time.monotonic() + most, 0, urlsplit(url)
        for port in ASIDE:
            asked = http.client.HTTPConnection(place.netloc, timeout=2, source_address=("", port))
            try:
                asked.request("GET", "/0", headers={"Host": host})
                row = row + 1 if asked.getresponse().status < 400 else 0
            except (http.client.HTTPException, OSError):
                row = 0
            finally:
                asked.close()
            if row == 20:
                return
            if time.monotonic() > end:
                raise RuntimeError(f"{url} (Host: {host}) does not answer")
            time.sleep(0.1)

    def remove(self, name: str, kind: str = "deployment") -> None:
        """All of it, with its pods."""
        self.kubectl("delete", f"{kind.lower()}/{name}", f"service/{name}", "--wait=false", check=False)
        self.kubectl("delete", f"ingress/{name}", "--ignore-not-found", "--wait=false", check=False)
        self.kubectl("delete", "pods", "-l", f"app={name}", "--grace-period=0", "--force", check=False)

    def nodes(self) -> list[str]:
        """Their names."""
        return self.kubectl("get", "nodes", "-o", "name").split()


@dataclass(frozen=True)
class Outcome:
    """What a run of `lameduck prove` said."""

    code: int
    proof: Mapping[str, Any]
    text: str
    error: str

    @property
    def verdict(self) -> str:
        """PROVEN, FAILED or INCONCLUSIVE."""
        return str(self.proof["verdict"])

    @property
    def causes(self) -> set[tuple[str, str]]:
        """Code and symptom of every finding, but for remarks about the preStop's length."""
        found = {(each["code"], each["symptom"]) for each in self.proof["findings"]}
        return {(code, symptom) for code, symptom in found if symptom not in {"LD908", "LD911"}}

    @property
    def counts(self) -> dict[tuple[str, str], int]:
        """How many requests each cause took."""
        return {(each["code"], each["symptom"]): each["count"] for each in self.proof["findings"]}

    @property
    def fallen(self) -> list[str]:
        """The gates that did not hold."""
        return [f"{g['name']}: {g['detail']}" for g in self.proof["validity"]["gates"] if not g["held"]]


def command(target: str, *flags: str) -> list[str]:
    """The command line of a proof in our namespace."""
    return [*LAMEDUCK, "prove", target, "-n", NAMESPACE, "--yes", "--quiet", *flags]


def prove(target: str, folder: Path, *flags: str, within: float = 280.0) -> Outcome:
    """Run a proof to its end."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "proof.json"
    run = ["--json", str(file), "--run-dir", str(folder / "run")]
    done = subprocess.run(
        [*BEFORE, *command(target, *flags, *run)], capture_output=True, text=True, check=False, timeout=within
    )
    sys.stdout.write(done.stdout + done.stderr)  # what pytest shows when a test fails
    proof = json.loads(file.read_text()) if file.is_file() else {}
    return Outcome(done.returncode, proof, done.stdout, done.stderr)
