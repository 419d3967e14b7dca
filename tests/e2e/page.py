"""Writes docs/truth-cluster.md from what the tests of this folder measured: page.py RESULTS [PAGE]."""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent.parent))

from tests.e2e.rows import ROWS, Row

REMARKS = frozenset({"LD908", "LD911"})
"""About the preStop's length: they take no request."""
HEAD = """# What `lameduck prove` says on a real Kubernetes

Written by `tests/e2e/page.py` on {date} from runs of `scripts/e2e --full` on the cluster of `tests/cluster`: Kubernetes
{version} (kube-proxy, kubelet and controllers as released), containerd, Traefik 3.5, on one machine with {cores} cores,
load average {load} at the end of a proof, the cluster's and the proof's own work included. Every row
is `lameduck prove TYPE/NAME` itself. The load is sent from the node to the Service's address ("through Traefik": to the
ingress), on new and on kept-alive connections at once; three replicas, readiness every 1 s, requests of 50 ms, unless
said.

The workloads are the servers of `tests/proving/servers`; what must be found of each is in `tests/e2e/rows.py`, and a
test fails where it is not. What Kubernetes did to each kind of server without lameduck was measured before;
`bench/fidelity.py` holds the local cluster's numbers against that, the last table here its verdicts.

"""
LOCAL = """## The same manifests on the local cluster

`tests/e2e/local.py`, `lameduck prove --local -f` with the manifest and the Dockerfile of each row above. *Same*: the
same verdict and the same causes. In brackets: causes of few requests, which a row may show or not, and rows of which
two verdicts are true, since the phase of kube-proxy's sync decides.

| | real cluster | local cluster | same |
|---|---|---|---|
"""
TITLES = {
    "rows": "Rollouts",
    "disrupt": "Other disruptions",
    "agents": "Load from inside the cluster",
    "imported": "Load by another tool",
    "fault": "Faults while proving",
    "c": "Cases from the field",
    "story": "500 requests/s, five rollouts",
}
ORDER = ("rows", "disrupt", "agents", "imported", "fault", "c", "story")


def group(name: str) -> str:
    head = name.partition("-")[0]
    if head in {"disrupt", "agents", "imported", "fault", "story"}:
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


def kept(folder: Path) -> list[dict[str, Any]]:
    """What the tests kept there, by name."""
    return [json.loads(file.read_text()) for file in sorted(folder.glob("*.json"))]


def told(proof: dict[str, Any], row: Row) -> str:
    """A verdict and its causes; in brackets those that a row may show or not."""
    found = {(each["code"], each["symptom"]) for each in proof["findings"] if each["symptom"] not in REMARKS}
    names = [
        f"({'/'.join(dict.fromkeys(cause))})" if cause in row.may else "/".join(dict.fromkeys(cause))
        for cause in sorted(found, key=lambda cause: (cause in row.may, cause))
    ]
    verdict = f"({proof['verdict']})" if row.also else proof["verdict"]
    return " ".join([verdict, ", ".join(names)]).strip()


def certain(words: str) -> str:
    """Without what stands in brackets."""
    return " ".join(word for word in words.replace(",", "").split() if not word.startswith("("))


def beside(real: list[dict[str, Any]], local: list[dict[str, Any]]) -> list[str]:
    """The rows that ran on both clusters."""
    here, lines = {each["name"]: each["proof"] for each in local}, []
    for each in (each for each in real if each["name"] in here and each["name"] in ROWS):
        name, row = each["name"], ROWS[each["name"]]
        there, ours = told(each["proof"], row), told(here[name], row)
        lines.append(f"| {name} | {there} | {ours} | {'yes' if certain(there) == certain(ours) else '**no**'} |")
    return lines


def load_in_words(loads: list[float], proofs: int) -> str:
    """The load averages that were noted, and how many were not."""
    if not loads:
        return "not noted"
    unnoted = f"; {proofs - len(loads)} of {proofs} proofs did not note it" if proofs > len(loads) else ""
    return f"{min(loads):.1f} to {max(loads):.1f} (median {median(loads):.1f}{unnoted})"


def main() -> None:
    results = Path(sys.argv[1])
    found, other, local = kept(results), kept(results / "nftables"), kept(results / "local")
    parts: dict[str, list[dict[str, Any]]] = {}
    for each in found:
        parts.setdefault(group(each["name"]), []).append(each)
    loads = [each["load"] for each in (*found, *other) if "load" in each]
    text = HEAD.format(
        date=time.strftime("%Y-%m-%d", time.gmtime()),
        version=found[0].get("version", "v1.34.4"),
        cores=os.cpu_count(),
        load=load_in_words(loads, len(found) + len(other)),
    )
    for name in ORDER:
        if parts.get(name):
            text += "\n".join([f"## {TITLES[name]}", "", *table(parts[name]), "", ""])
    if other:
        text += "\n".join(["## Two nodes, kube-proxy in nftables mode", "", *table(other), "", ""])
    if lines := beside(found, local):
        text += LOCAL + "\n".join([*lines, "", ""])
    text += f"Kernel {platform.release()}, Python {platform.python_version()}.\n"
    page = Path(sys.argv[2] if len(sys.argv) > 2 else "docs/truth-cluster.md")
    page.write_text(text.rstrip("\n") + "\n")


if __name__ == "__main__":
    main()
