"""The workloads of the truth table as the local cluster runs them, and one row's run: one lane at 500 requests/s."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import Any

from tests.fidelity.compare import Measured, kind_of

from lameduck.core.exchange import Kind as Failed
from lameduck.core.exchange import Lane
from lameduck.core.instants import MILLISECOND, SECOND, to_ms
from lameduck.core.path import Kind, Via
from lameduck.core.plan import DisruptionPlan, Plan, RequestShape, TrafficPlan
from lameduck.core.podspec import ContainerSpec, Hook, HookKind, Role
from lameduck.core.probes import ProbeSpec
from lameduck.core.timeline import Event, Milestone, PodHistory, fold
from lameduck.local.cluster import LocalCluster
from lameduck.local.podplan import Process
from lameduck.local.spec import LocalSpec
from lameduck.proving import prove
from lameduck.runfile import read

SERVER = Path(__file__).parent / "server.py"
SWALLOW = Path(__file__).parent.parent / "proving" / "servers" / "swallow.sh"
FIFTY = (RequestShape(path="/50"),)
TENTH_SLOW = (RequestShape(path="/50", weight=0.9), RequestShape(path="/1000", weight=0.1))
INGRESS = Via(Kind.INGRESS)
PAUSE = 650 * MILLISECOND
"""From one rollout's end to the next one's beginning, as it was when the truth was measured: a look every 150 ms for
the end, half a second's rest, and kubectl's own start."""


@dataclass(frozen=True)
class Setup:
    """A workload by its letter: what the server does, behind which script, and the fields that differ."""

    server: tuple[str, ...] = ("drain",)
    script: Path | None = None
    requests: tuple[RequestShape, ...] = FIFTY
    look: bool = True
    connections: int = 34
    """Those of the client that measured, dialled once, and more only where none was idle (`refill`). It began with 20,
    needed 26, and was late by some 15 ms now and then: against this server it had 33 or 34 after some seconds."""
    timeout: int = 5 * SECOND
    steady: int = SECOND
    """Load alone before the first rollout. A pod that goes first has to be as old by then as it was in the truth:
    a kubelet lets the stop signal of one below 4 s wait (`core.podworker`)."""
    spec: Mapping[str, Any] = field(default_factory=dict)

    def command(self) -> tuple[str, ...]:
        """What a pod runs."""
        app = (sys.executable, "-S", str(SERVER), *self.server)
        return ("bash", str(self.script), *app) if self.script else app


FIVE = {"pre_stop_sleep": 5}


def beside(path: str, probe: ProbeSpec) -> dict[str, Any]:
    """The app with a native sidecar that answers its preStop."""
    hook = Hook(HookKind.HTTP, path=path, port=9090)
    sidecar = ContainerSpec("side", role=Role.SIDECAR)
    return {
        "containers": (sidecar, ContainerSpec("app", readiness=probe, pre_stop=hook)),
        "serving": "app",
        "processes": {"side": Process((sys.executable, "-S", str(SERVER.with_name("sidecar.py"))))},
        "ready_path": None,
    }


BY_EXEC = ProbeSpec(command=("test", "-d", "/proc/1"), initial_delay=SECOND)
"""Readiness without a connection, so that the sidecar sees clients only."""
BY_HTTP = ProbeSpec("/healthz")
AT_ONCE = (RequestShape(path="/0"),)
ALONE = {"replicas": 1, "max_surge": 0, "max_unavailable": 1}
TEN = {"grace": 5 * SECOND, "pre_stop_exec": ("sleep", "10")}
SETUPS = {
    "a": Setup(("ignore",), spec={"grace": 5 * SECOND}),
    "ad": Setup(("lame",), spec=beside("/1/8/rows", BY_EXEC)),
    "adp": Setup(("lame",), spec=beside("/1.5/8/rows", BY_HTTP)),
    "aq": Setup(("lame",), requests=AT_ONCE, spec=beside("/1/8/count", BY_EXEC)),
    "aqp": Setup(("lame",), requests=AT_ONCE, spec=beside("/1.5/8/count", BY_HTTP)),
    "b": Setup(("exit",)),
    "bs": Setup(("exit",), requests=(RequestShape(path="/50/head"),)),
    "c": Setup(),
    "d": Setup(spec=FIVE),
    "d1": Setup(spec={"pre_stop_sleep": 1}),
    "d2": Setup(spec={"pre_stop_sleep": 2}),
    "db": Setup(spec=FIVE, requests=(RequestShape(path="/20"),), look=False, connections=60),
    "dl": Setup(("lame",), spec=FIVE),
    "dlb": Setup(("lame",), spec=FIVE, requests=(RequestShape(path="/20"),), look=False, connections=60),
    "dx": Setup(spec={"pre_stop_exec": ("sleep", "5")}),
    "e": Setup(script=SWALLOW, requests=TENTH_SLOW, spec={"grace": 5 * SECOND}),
    "e1": Setup(script=SWALLOW, requests=TENTH_SLOW, spec={"grace": SECOND}),
    "f": Setup(script=SERVER.with_name("trap.sh"), requests=TENTH_SLOW),
    "g": Setup(requests=TENTH_SLOW, spec=TEN),
    "g3": Setup(
        requests=(RequestShape(path="/50", weight=0.9), RequestShape(path="/4000", weight=0.1)),
        timeout=8 * SECOND,
        spec=TEN,
    ),
    "h": Setup(
        ("drain", "start=3"),
        spec={**FIVE, "containers": (ContainerSpec("app"),), "serving": "app", "ready_path": None},
    ),
    "i": Setup(steady=4 * SECOND, spec={**ALONE, **FIVE}),
    "i0": Setup(steady=4 * SECOND, spec=ALONE),
    "i8": Setup(("drain", "start=8"), steady=4 * SECOND, spec={**ALONE, **FIVE}),
    "j": Setup(("drain", "idle=1"), requests=AT_ONCE, connections=500),
    "jb": Setup(("drain", "idle=1"), requests=AT_ONCE, look=False, connections=500),
    "kb": Setup(("exit",), spec={"via": INGRESS}),
    "kc": Setup(spec={"via": INGRESS}),
    "kd": Setup(spec={"via": INGRESS, **FIVE}),
    "kd2": Setup(spec={"via": INGRESS, "pre_stop_sleep": 2}),
    "kd3": Setup(spec={"via": INGRESS, "pre_stop_sleep": 3}),
    "kdl": Setup(("lame",), spec={"via": INGRESS, **FIVE}),
}
LANES = {"new": Lane.NEW, "keep": Lane.REUSE}


def run(row: str, folder: Path, *, rollouts: int = 3, seed: int = 1) -> Measured:
    """Run one row, such as ``c/new``, on the local cluster."""
    letter, lane = row.split("/")
    setup = SETUPS[letter]
    traffic = TrafficPlan(
        rate=500.0,
        duration=SECOND,
        lanes=((LANES[lane], 1.0),),
        requests=setup.requests,
        connect_timeout=setup.timeout,
        timeout=setup.timeout,
        connections=setup.connections,
        look=setup.look,
        refill=False,
        seed=seed,
    )
    plan = Plan(traffic, DisruptionPlan(times=rollouts, rest=PAUSE), settle=SECOND // 2, baseline=setup.steady)
    usual = {"command": setup.command(), "ready_path": "/healthz", "port": 8080, "seed": seed, "let_age": False}
    spec = LocalSpec(**{**usual, **setup.spec})
    proof = prove(lambda observe, its: LocalCluster(replace(spec, run_dir=its), observe), plan, run_dir=folder)
    recorded = read(folder).run
    pods = [pod for pod in fold(recorded.observations).values() if pod.terminated]
    begun = [seen.at for seen in recorded.observations if seen.what is Event.DISRUPTION_REQUESTED]
    per_rollout: list[Counter[str]] = [Counter() for _ in begun]
    before: Counter[str] = Counter()
    for exchange in recorded.recording.failed_exchanges():
        if exchange.failure is None or exchange.failure.kind is Failed.NOT_SENT:
            continue
        at = exchange.finished if exchange.connected and exchange.finished else exchange.intended_start
        number = sum(start - 100 * MILLISECOND <= at for start in begun)
        (per_rollout[number - 1] if number else before)[kind_of(exchange)] += 1
    return Measured(
        requests=len(recorded.recording),
        terminations=len(pods),
        per_rollout=tuple(per_rollout),
        before=before,
        exit_codes=Counter(str(pod.exit_code) for pod in pods),
        rollout_s=median(proof.rollout_times) / SECOND if proof.rollout_times else 0.0,
        median_ms=timeline(list(fold(recorded.observations).values()), begun[0] if begun else 0),
        punctual=all(gate.held for gate in proof.gates if gate.name in {"the plan was sent", "the engine was on time"}),
    )


M = Milestone
STEPS = {
    "deletion to slice": (M.DELETION_REQUESTED, M.ENDPOINT_NOT_READY),
    "deletion to stop signal": (M.DELETION_REQUESTED, M.STOP_SIGNAL),
    "start to ready": (M.STARTED, M.READY),
}


def timeline(pods: list[PodHistory], begun: int) -> dict[str, float | None]:
    """The medians that the truth table has as well (ms): of starts, those since the first rollout had `begun`."""
    steps = {name: [lasted(pod, *marks) for pod in pods] for name, marks in STEPS.items()}
    new = [pod for pod in pods if (pod.at(M.CREATED) or 0) >= begun]
    steps["start to ready"] = [lasted(pod, M.STARTED, M.READY) for pod in new]
    steps["exit to out of slice"] = [
        pod.facts["withdrawn_at"] - (pod.at(M.EXITED) or 0)
        for pod in pods
        if "withdrawn_at" in pod.facts and pod.at(M.EXITED) is not None
    ]
    return {name: middle([each for each in values if each is not None]) for name, values in steps.items()}


def lasted(pod: PodHistory, first: Milestone, second: Milestone) -> int | None:
    """From one milestone to another (ns), None where one is missing."""
    start, end = pod.at(first), pod.at(second)
    return None if start is None or end is None else end - start


def middle(values: list[int]) -> float | None:
    """The median in ms."""
    return round(to_ms(round(median(values))), 1) if values else None
