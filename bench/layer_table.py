"""Each server × {nothing, delay outside, lame duck inside, both}, proven on this machine: the table of docs/layer.md.

    .venv/bin/python bench/layer_table.py                 all of them (about an hour), and the page
    .venv/bin/python bench/layer_table.py ask uvicorn     only these, or only some ways: ask uvicorn inside
    .venv/bin/python bench/layer_table.py page            only write the page, from what was kept
    .venv/bin/python bench/layer_table.py readiness       a single replica with readiness=keep and fail: prints it

300 requests a second, half on new and half on kept-alive connections, one in a hundred takes a second; 2 rollouts of
3 replicas. "Inside" is proven three times: one claim, three chances to break it. Kept in bench/layer_table.json.
"""

from __future__ import annotations

import datetime
import json
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import servers

from lameduck.core.exchange import Lane
from lameduck.core.instants import SECOND
from lameduck.core.plan import DisruptionPlan, Plan, RequestShape, TrafficPlan
from lameduck.core.proof import Proof
from lameduck.local.cluster import LocalCluster
from lameduck.local.spec import LocalSpec
from lameduck.proving import prove

KEPT = Path(__file__).with_suffix(".json")
PAGE = servers.ROOT / "docs/layer.md"
BEGIN, END = "<!-- bench/layer_table.py -->", "<!-- end -->"
PORT, RATE, SLOW_SHARE, DELAY = 8080, 300.0, 0.01, 5
WAYS = {"nothing": (False, None), "outside": (False, DELAY), "inside": (True, None), "both": (True, DELAY)}
TIMES = {"inside": 3}
LONGER = dict.fromkeys(("gunicorn gthread", "gunicorn gevent"), ("--keep-alive", "75"))
LONGER["uvicorn, 2 workers"] = ("--timeout-keep-alive", "75")
"""A 2 s race with any pooled client, stop or no stop (LD605): one request was lost in half of the runs, each way; for
uvicorn's 5 s in one of three."""
GRACE, DEAF_GRACE = 30, 8
"""Seconds; the second for servers that ignore the signal as PID 1: each of their pods waits for SIGKILL."""
TRIES = 3
"""An inconclusive proof (the machine was too busy) is asked again, so often."""


def traffic(*, keep_alive: bool = True) -> TrafficPlan:
    """Two kinds of requests, on new connections and, where there are any, on kept-alive ones."""
    shapes = (RequestShape(path="/fast", weight=1 - SLOW_SHARE), RequestShape(path="/slow", weight=SLOW_SHARE))
    plan = TrafficPlan(rate=RATE, requests=shapes, duration=2 * SECOND)
    return plan if keep_alive else replace(plan, lanes=((Lane.NEW, 1.0),))


def said(proof: Proof) -> dict[str, Any]:
    """What is kept of a proof."""
    return {
        "date": str(datetime.datetime.now(datetime.UTC).date()),
        "verdict": proof.verdict.value,
        "lost": proof.failed,
        "lost_by_lane": dict(proof.failures_by_lane),
        "requests": proof.requests,
        "exposed": proof.exposed_requests,
        "why": [f"{x.defect.code} {x.message} {' '.join(x.evidence)}" for x in proof.findings if x.symptom],
        "codes": sorted({finding.defect.code for finding in proof.findings if finding.symptom}),
    }


def proof_of(name: str, *, layer: bool, env: Mapping[str, str] | None = None, **fields: Any) -> Proof:
    """One proof of a server, with or without the layer; `fields` are `LocalSpec`'s."""
    host = "0.0.0.0"
    spec = LocalSpec(
        command=tuple(w.replace("{port}", str(PORT)) for w in (*servers.words(name, host), *LONGER.get(name, ()))),
        port=PORT,
        env={**servers.environment(layer=layer, host=host), **(env or {})},
        **fields,
    )
    plan = Plan(traffic(keep_alive=name not in servers.NO_KEEP_ALIVE), DisruptionPlan(times=2))
    with tempfile.TemporaryDirectory() as kept:
        return prove(
            lambda observe, folder: LocalCluster(replace(spec, run_dir=folder), observe),
            plan,
            run_dir=Path(kept) / "run",
        )


def ask(words: list[str]) -> None:
    """Prove these servers in these ways, or all, and keep what came out."""
    for name in (word for word in words if word not in WAYS):
        for way in [word for word in words if word in WAYS] or WAYS:
            found = [_asked(name, way) for _ in range(TIMES.get(way, 1))]
            kept = json.loads(KEPT.read_text()) if KEPT.exists() else {}
            kept.setdefault(name, {})[way] = found
            KEPT.write_text(json.dumps(kept, indent=1) + "\n")


def _asked(name: str, way: str) -> dict[str, Any]:
    for _ in range(TRIES):
        layer, sleep = WAYS[way]
        grace = DEAF_GRACE if name in servers.DEAF and not layer else GRACE
        proof = proof_of(name, layer=layer, ready_path="/fast", pre_stop_sleep=sleep, grace=grace * SECOND)
        found = said(proof)
        print(f"{name}, {way}: {found}", flush=True)
        if found["verdict"] != "INCONCLUSIVE":
            break
    return found


def readiness() -> None:
    """A single replica that is replaced in place (truth row i), three times each."""
    for way in ("keep", "fail"):
        for _ in range(3):
            env = {"LAMEDUCK_READINESS": way, "LAMEDUCK_READINESS_PATH": "/ready", "LAMEDUCK_LEAST": "8"}
            place = {"replicas": 1, "max_surge": 0, "max_unavailable": 1, "ready_path": "/ready"}
            proof = proof_of("uvicorn", layer=True, env=env, **place)
            kinds = dict(proof.failures_by_kind)
            print(f"{way}: {proof.verdict.value} {proof.failed} of {proof.requests} lost {kinds}", flush=True)


def page() -> None:
    """Put the table between its marks."""
    kept = json.loads(KEPT.read_text())
    lines = [
        f"Lost requests, of these on kept-alive connections in brackets; {RATE:.0f} requests/s, half on new ones,",
        f"one in {1 / SLOW_SHARE:.0f} takes 1 s; 2 rollouts of 3 replicas each. *Outside*: a preStop of {DELAY} s.",
        f"† does not hear the signal as PID 1: each pod waits for SIGKILL, after {DEAF_GRACE} s here;",
        "gunicorn gthread and gevent, and uvicorn's 2 workers, with a keep-alive of 75 s: 2 s, and 5 s, race with",
        "pooled clients at any time (LD605).",
        "",
        "| server | nothing | outside | **inside** | both |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name in (name for name in servers.PYTHON if name in kept):
        cells = (", ".join(map(cell, kept[name].get(way, ()))) for way in WAYS)
        mark = " †" if name in servers.DEAF else ""
        lines.append(f"| {name}{mark} | " + " | ".join(cells) + " |")
    dates = sorted({proof["date"] for ways in kept.values() for proofs in ways.values() for proof in proofs})
    lines += ["", f"`bench/layer_table.py`, {' and '.join(dates)}; {servers.versions()}."]
    before, rest = PAGE.read_text().split(BEGIN)
    after = rest.split(END, 1)[1]
    PAGE.write_text(f"{before}{BEGIN}\n" + "\n".join(lines) + f"\n{END}{after}")


def cell(proof: dict[str, Any]) -> str:
    """What a table says of it."""
    if proof["verdict"] == "INCONCLUSIVE":
        return "not shown"
    reused = proof["lost_by_lane"].get("reuse", 0)
    return f"{proof['lost']} ({reused})" if proof["lost"] else "0"


if __name__ == "__main__":
    match sys.argv[1:]:
        case []:
            ask(list(servers.PYTHON))
            page()
        case ["page"]:
            page()
        case ["readiness"]:
            readiness()
        case ["ask", *names]:
            ask(names)
        case _:
            raise SystemExit(__doc__)
