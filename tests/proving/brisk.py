"""Brisk proofs over real processes: two replicas, a short baseline, requests that work for 20 ms."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from lameduck.core.exchange import Kind
from lameduck.core.instants import SECOND
from lameduck.core.plan import Disruption, DisruptionPlan, Plan, RequestShape, SocketPlan, TrafficPlan
from lameduck.core.proof import Proof, Verdict
from lameduck.load.foreign import Import
from lameduck.local.cluster import LocalCluster
from lameduck.local.spec import LocalSpec, Timings
from lameduck.proving import prove
from lameduck.runfile import read

SERVERS = Path(__file__).parent / "servers"
BRISK = Timings(relist=False, status=(900, 950, 1000), start=(1, 1, 1), probe_phase=(50, 100, 150))


def proved(
    folder: Path,
    *command: str,
    traffic: dict[str, Any] | None = None,
    rollouts: int = 1,
    sockets: SocketPlan | None = None,
    imports: Import | None = None,
    **workload: Any,
) -> Proof:
    """A brisk proof of a command; ``traffic`` and ``workload`` are fields of `TrafficPlan` and `LocalSpec`."""
    brisk = {"timeout": 3 * SECOND, "connect_timeout": 2 * SECOND, "duration": SECOND}
    asked = {"rate": 150.0, "requests": (RequestShape(path="/20"),), **brisk}
    plan = Plan(
        TrafficPlan(**{**asked, **(traffic or {})}),
        DisruptionPlan(workload.get("disruption", Disruption.ROLLOUT), rollouts),
        sockets,
        settle=SECOND // 2,
        baseline=SECOND,
        baseline_requests=100,
    )
    spec = LocalSpec(**{"command": command, "replicas": 2, "grace": 20 * SECOND, "timings": BRISK, **workload})
    proof = prove(
        lambda observe, run: LocalCluster(replace(spec, run_dir=run), observe),
        plan,
        run_dir=folder / "run",
        imports=imports,
    )
    fallen = [f"gate fell: {gate.name}: {gate.detail}" for gate in proof.gates if not gate.held]
    sys.stdout.write("\n".join([proof.sentence, *fallen, ""]))  # what pytest shows when a test fails
    return proof


NOISE = {"the plan was sent", "the engine was on time"}
"""Gates that a busy machine may fell."""
BACKLOG = {("LD912", "LD912")}
"""A server that closes its listener at once now and then resets a connection it had not accepted: rare, and true."""
SLOW = (RequestShape(path="/200"),)
"""Requests of which some are in hand at any moment."""


def zoo(behaviour: str, *more: str) -> tuple[str, ...]:
    """The server with this known behaviour."""
    return (sys.executable, str(SERVERS / "zoo.py"), behaviour, *more)


def script(name: str, behaviour: str) -> tuple[str, ...]:
    """The server behind a start script."""
    return ("bash", str(SERVERS / f"{name}.sh"), *zoo(behaviour))


def fallen(proof: Proof) -> set[str]:
    """The gates that did not hold."""
    return {gate.name for gate in proof.gates if not gate.held}


def clean(proof: Proof) -> bool:
    """Whether nothing was lost, and it is PROVEN unless this machine was too busy: as a gate says, and only then."""
    return not proof.failed and fallen(proof) <= NOISE and (proof.verdict is Verdict.PROVEN) == (not fallen(proof))


def causes(proof: Proof) -> set[tuple[str, str]]:
    """Code and symptom of every finding, but for remarks about the preStop's length."""
    return {(f.defect.code, f.symptom) for f in proof.findings if f.symptom not in {"LD908", "LD911"}}


def timed_out(folder: Path) -> int:
    """How many requests timed out, those too that a stall of our own excuses."""
    failed = read(folder / "run").run.recording.failed_exchanges()
    return sum(1 for e in failed if e.failure is not None and e.failure.kind is Kind.TIMEOUT)


def answered(folder: Path) -> int:
    """How many answers the servers say that they sent whole, whatever their status."""
    outputs = [file for file in (folder / "run").rglob("*") if file.is_file() and file.suffix != ".db"]
    return sum(line.startswith("answered") for file in outputs for line in file.read_text().splitlines())


def received(folder: Path) -> int:
    """How many whole answers the engine says that it got, whatever their status."""
    recording = read(folder / "run").run.recording
    exchanges = (recording.exchange(seq) for seq in range(len(recording)))
    return sum(1 for e in exchanges if e.failure is None or e.failure.stage.value == "validate")
