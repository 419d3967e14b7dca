"""Writes docs/truth-cluster.md from what the tests of this folder measured: page.py RESULTS [PAGE]."""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

HEAD = """# What `lameduck prove` says on a real Kubernetes

Written by `tests/e2e/page.py` on {date} from runs of `scripts/e2e --full` on the cluster of `tests/cluster`: Kubernetes
v1.34.4 (kube-proxy, kubelet and controllers as released), containerd, Traefik 3.5, on one machine with {cores} cores
that other work shared (load average 15 to 20: where a machine is idle a lag stays below 1.1 s, and a rollout takes 4.5
to 10 s). Every row is `lameduck prove TYPE/NAME` itself. The load is sent from the node to the Service's address
("through Traefik": to the ingress), on new and on kept-alive connections at once; three replicas, readiness every 1 s,
requests of 50 ms, unless said.

The workloads are the servers of `tests/proving/servers`; what must be found of each is in `tests/e2e/rows.py`, and a
test fails where it is not. What Kubernetes did to each kind of server without lameduck was measured before;
`bench/fidelity.py` holds the local cluster against that.

"""
TITLES = {
    "rows": "Rollouts",
    "disrupt": "Other disruptions",
    "agents": "Load from inside the cluster",
    "fault": "Faults while proving",
    "c": "Cases from the field",
    "story": "500 requests/s, five rollouts",
}
ORDER = ("rows", "disrupt", "agents", "fault", "c", "story")


def group(name: str) -> str:
    head = name.partition("-")[0]
    if head in {"disrupt", "agents", "fault", "story"}:
        return head
    return "c" if head[0] == "c" and head[1:].isdigit() else "rows"


def causes(proof: dict[str, Any]) -> str:
    found = [
        (each["code"] if each["code"] == each["symptom"] else f"{each['code']}/{each['symptom']}", each["count"])
        for each in proof["findings"]
        if each["symptom"] != "LD911"
    ]
    return ", ".join(f"{code} × {count}" for code, count in found) or "–"


def kinds(proof: dict[str, Any]) -> str:
    return ", ".join(f"{count} {kind}" for kind, count in proof["failures_by_kind"].items()) or "–"


def line(entry: dict[str, Any]) -> str:
    proof = entry["proof"]
    lag, rollouts = proof["propagation_lag_ms"], proof["rollouts"]
    bound = "≥ " if lag["censored"] else ""
    lags = f"{lag['p50']:.0f} / {bound}{lag['max']:.0f}" if lag["n"] else "–"
    seconds = " ".join(f"{each:.1f}" for each in rollouts["seconds"]) or "–"
    cells = [
        entry["name"],
        entry["what"],
        f"**{proof['verdict']}**",
        f"{proof['failed']:,} / {proof['requests']:,}",
        kinds(proof),
        causes(proof),
        f"{rollouts['completed']} of {rollouts['asked']}, {proof['terminations']} pods",
        lags,
        seconds,
        time.strftime("%m-%d %H:%M", time.gmtime(entry["at"])),
    ]
    return f"| {' | '.join(cells)} |"


def table(entries: Iterable[dict[str, Any]]) -> list[str]:
    names = ("", "workload", "verdict", "lost", "kinds", "causes (code/symptom)", "done", "lag ms, median / max")
    head = f"| {' | '.join((*names, 'seconds each', 'at (UTC)'))} |"
    return [head, "|" + "---|" * 10, *(line(each) for each in entries)]


def main() -> None:
    found = [json.loads(file.read_text()) for file in sorted(Path(sys.argv[1]).glob("*.json"))]
    parts: dict[str, list[dict[str, Any]]] = {}
    for each in found:
        parts.setdefault(group(each["name"]), []).append(each)
    text = HEAD.format(date=time.strftime("%Y-%m-%d", time.gmtime()), cores=os.cpu_count())
    for name in ORDER:
        if parts.get(name):
            text += "\n".join([f"## {TITLES[name]}", "", *table(parts[name]), "", ""])
    text += f"Kernel {platform.release()}, Python {platform.python_version()}.\n"
    page = Path(sys.argv[2] if len(sys.argv) > 2 else "docs/truth-cluster.md")
    page.write_text(text.rstrip("\n") + "\n")


if __name__ == "__main__":
    main()
