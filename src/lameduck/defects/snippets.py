"""Fixes as snippets: what a proof prints when it knows the defect but no file to patch.

Law: a fix is a set. A start script that passes the signal on is only better together with a drain window, so the two
are always printed together; the grace period is always the one that fits the preStop next to it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lameduck.core.finding import Fix, Patch, Safety
from lameduck.manifests.splice import render

PRE_STOP_SECONDS = 5
"""Enough behind kube-proxy alone; a load balancer needs more (LD109)."""
GRACE_SECONDS = 40
"""preStop 5 + a server's drain of 30 + 5 of slack."""

EXEC = """\
# the last line of the start script: exec, so that the server is PID 1 and gets the stop signal
exec "$@"
"""

TRAP = """trap 'kill -TERM "$pid" 2>/dev/null' TERM INT"""
WAIT_LOOP = f"""\
# the end of the start script: forward the stop signal, and wait until the server has really ended
{TRAP}
"$@" &
pid=$!
rc=0
wait "$pid" || rc=$?
while kill -0 "$pid" 2>/dev/null; do
  wait "$pid" || rc=$?
done
exit "$rc"
"""


SEVERAL = """\
# the end of the start script: tell all of the servers, and wait until each of them has really ended
pids=""
FIRST & pids="$pids $!"
SECOND & pids="$pids $!"
trap 'kill -TERM $pids 2>/dev/null' TERM INT
for pid in $pids; do
  while kill -0 "$pid" 2>/dev/null; do wait "$pid" || rc=$?; done
done
exit "${rc:-0}"
"""

DRAIN = "lameduck-drain"
DRAIN_PORT = 9190


@dataclass(frozen=True, slots=True)
class Sidecar:
    """The adaptive drain sidecar: its image, and the token that only the kubelet's call knows."""

    image: str
    token: str


SHOWN = Sidecar("IMAGE-OF-LAMEDUCK-POD", "TOKEN")


def drain_hook(sidecar: Sidecar) -> dict[str, Any]:
    """The preStop that asks the drain sidecar."""
    headers = [{"name": "Lameduck-Token", "value": sidecar.token}]
    return {"httpGet": {"port": DRAIN_PORT, "path": "/prestop", "httpHeaders": headers}}


def drain_container(sidecar: Sidecar, ports: Sequence[int], grace: int) -> dict[str, Any]:
    """The drain sidecar for clients of these ports (none: of every port that is listened on), in a pod of this grace
    period (s)."""
    args = ["drain", "--listen", str(DRAIN_PORT), "--token", sidecar.token]
    for port in ports:
        args += ["--port", str(port)]
    security = {
        "runAsNonRoot": True,
        "readOnlyRootFilesystem": True,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    return {
        "name": DRAIN,
        "image": sidecar.image,
        "restartPolicy": "Always",
        "args": [*args, "--grace", str(grace)],
        "securityContext": security,
    }


def drain_sidecar(container: str, ports: Sequence[int], grace: int) -> Fix:
    """The drain sidecar, to be read: it needs an image of lameduck-pod in a registry of the reader's."""
    grace = max(grace, GRACE_SECONDS)
    app = {"name": container or "APP", "lifecycle": {"preStop": drain_hook(SHOWN)}}
    pod = {
        "terminationGracePeriodSeconds": grace,
        "initContainers": [drain_container(SHOWN, ports, grace)],
        "containers": [app],
    }
    text = render({"spec": {"template": {"spec": pod}}}, 0, 2, "\n") + "\n"
    title = "a drain sidecar, which needs no program in the image (lameduck inject --sidecar IMAGE writes it)"
    return Fix(title, Safety.UNSAFE, (Patch("", snippet=text),))


def seconds(facts: Mapping[str, Any], name: str, default: int) -> int:
    """A fact in whole seconds, or the default when it is absent or not a number."""
    value = facts.get(name)
    return int(value) if isinstance(value, int | float) and value > 0 else default


def window_text(facts: Mapping[str, Any]) -> str:
    """The drain window in a Deployment: preStop and the grace period that fits, as YAML."""
    pre_stop = seconds(facts, "pre_stop_seconds", PRE_STOP_SECONDS)
    grace = max(seconds(facts, "grace_seconds", GRACE_SECONDS + pre_stop - PRE_STOP_SECONDS), pre_stop + 5)
    name = str(facts.get("container") or "APP")
    return (
        "spec:\n  template:\n    spec:\n"
        f"      terminationGracePeriodSeconds: {grace}\n"
        "      containers:\n"
        f"        - name: {name}\n"
        "          lifecycle:\n            preStop:\n              sleep:\n"
        f"                seconds: {pre_stop}\n"
    )


def drain_window(facts: Mapping[str, Any], safety: Safety) -> Fix:
    """A preStop sleep and the grace period that fits."""
    pre_stop = seconds(facts, "pre_stop_seconds", PRE_STOP_SECONDS)
    return Fix(f"wait {pre_stop} s before the stop signal", safety, (Patch("", snippet=window_text(facts)),))


def grace_only(facts: Mapping[str, Any]) -> Fix:
    """The grace period alone; never less than a preStop that is known."""
    grace = max(seconds(facts, "grace_seconds", GRACE_SECONDS), seconds(facts, "pre_stop_seconds", 0) + 5)
    text = f"spec:\n  template:\n    spec:\n      terminationGracePeriodSeconds: {grace}\n"
    return Fix(f"a grace period of {grace} s", Safety.SAFE, (Patch("", snippet=text),))


def rolling_update(safety: Safety) -> Fix:
    """A rollout that starts the new pod first and never takes an available one away."""
    text = (
        "spec:\n  strategy:\n    type: RollingUpdate\n    rollingUpdate:\n      maxSurge: 1\n      maxUnavailable: 0\n"
    )
    return Fix("start the new pod first, never take an available one away", safety, (Patch("", snippet=text),))


def script_and_window(script: str, title: str, facts: Mapping[str, Any]) -> Fix:
    """The start script and the drain window as one set: the script alone would lose more."""
    shell = str(facts.get("shell") or "sh")
    return Fix(
        title,
        Safety.UNSAFE,
        (Patch("", snippet=f"#!/bin/{shell.rsplit('/', 1)[-1]}\n{script}"), Patch("", snippet=window_text(facts))),
    )


def keep_alive(facts: Mapping[str, Any]) -> Fix | None:
    """The flag that keeps idle connections longer than the caller; None for a server without a known flag."""
    idle = seconds(facts, "caller_idle_seconds", 60) + 5
    flags = {
        "gunicorn": f"gunicorn --keep-alive {idle}",
        "uvicorn": f"uvicorn --timeout-keep-alive {idle}",
        "hypercorn": f"hypercorn --keep-alive {idle}",
        "node": f"server.keepAliveTimeout = {idle * 1000}; server.headersTimeout = {idle * 1000 + 1000};",
    }
    line = flags.get(str(facts.get("server") or ""))
    if line is None:
        return None
    return Fix(f"keep idle connections {idle} s", Safety.UNSAFE, (Patch("", snippet=line + "\n"),))
