"""Whole recorded runs for the tests of reports: rollouts of three pods, failing or not, of any number of exchanges."""

import random
from array import array
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from lameduck.core.exchange import Failure, Kind, Stage
from lameduck.core.instants import MILLISECOND, SECOND
from lameduck.core.plan import DisruptionPlan, Plan, RequestShape, TrafficPlan
from lameduck.core.proof import Stall
from lameduck.core.recording import Recording
from lameduck.core.run import ClusterFacts, Run
from lameduck.core.timeline import Event, Milestone, Observation
from lameduck.runfile import RunWriter, plan_as_json

ORIGIN = 5_000 * SECOND
REPLICAS = 3
FIRST = 8.0
"""When the first rollout is asked for, in seconds."""
APART = 9.0
ANCHOR = 1_790_000_000 * SECOND

REFUSED = Failure(Stage.CONNECT, Kind.REFUSED, 111)
CLOSED = Failure(Stage.AWAIT, Kind.CLOSED)
RESET = Failure(Stage.AWAIT, Kind.RESET, 104)

INSTANTS = ("intended_start", "actual_start", "connected", "sent", "first_byte", "finished")
NUMBERS = ("connection", "nth_on_connection", "failure", "status", "routed_to", "lane", "size")


def at(seconds: float) -> int:
    """The instant of some seconds after the load began."""
    return ORIGIN + round(seconds * SECOND)


def failing(requests: int = 8_000, *, rollouts: int = 2, loss: float = 0.2, prefix: str = "app") -> Run:
    """Pods that die at once: a fifth of what meets a going pod is lost."""
    return _run(requests, rollouts, loss, prefix)


def proven(requests: int = 8_000, *, rollouts: int = 2, prefix: str = "app") -> Run:
    """Pods that wait and drain: nothing is lost."""
    return _run(requests, rollouts, 0.0, prefix)


def keep(run: Run, folder: Path, **notes: Any) -> Path:
    """Write a run into a run file, as proving does."""
    folder.mkdir(parents=True, exist_ok=True)
    meta = {
        "plan": plan_as_json(run.plan),
        "facts": {**asdict(replace(run.facts, details={})), "details": dict(run.facts.details)},
        "load_started": run.load_started,
        "load_ended": run.load_ended,
        "wall_anchor": run.wall_anchor,
        "about": dict(run.meta),
        "stalls": [[s.start, s.length] for s in run.stalls],
        **notes,
    }
    writer = RunWriter(folder / "run.db", run.recording, meta)
    for seen in run.observations:
        writer.observe(seen)
    writer.close(complete=run.complete)
    return folder


def _run(requests: int, rollouts: int, loss: float, prefix: str) -> Run:
    generations = [[f"{prefix}-{7 + g}f9c{g}d-{'xkz'[n]}2v8{n}" for n in range(REPLICAS)] for g in range(rollouts + 1)]
    seen = _lives(generations, wait=0.0 if loss else 4.0)
    length = FIRST + APART * rollouts + 3.0
    names = [name for generation in generations for name in generation]
    traffic = TrafficPlan(rate=requests / length, requests=(RequestShape(path="/v2/models/m/infer"),))
    return Run(
        plan=Plan(traffic, DisruptionPlan(times=rollouts)),
        facts=ClusterFacts("local", "prediction", REPLICAS, 30 * SECOND, "", 0 if loss else SECOND),
        recording=_recording(requests, length, names, seen, loss),
        observations=seen,
        load_started=at(0),
        load_ended=at(length),
        stalls=[Stall(at(3.2), 40 * MILLISECOND)],
        wall_anchor=ANCHOR,
        meta={"lameduck": "0.1.0", "command": "lameduck prove --local --qps 500 -- python -m prediction"},
    )


def _lives(generations: list[list[str]], wait: float) -> list[Observation]:
    seen: list[Observation] = []

    def mark(pod: str, what: Milestone, when: float, **detail: Any) -> None:
        seen.append(Observation(at(when), what, pod, source="local", detail=detail))

    for number, generation in enumerate(generations):
        start = FIRST + APART * (number - 1)
        for place, pod in enumerate(generation):
            born = -2.0 if number == 0 else start + 0.1 + 2.2 * place
            mark(pod, Milestone.CREATED, born)
            mark(pod, Milestone.STARTED, born + 0.2)
            mark(pod, Milestone.LISTENING, born + 0.9)
            mark(pod, Milestone.READY, born + 1.3)
            if number + 1 < len(generations):
                _going(mark, pod, start + APART + 1.5 + 2.2 * place, wait)
        if number:
            seen.append(Observation(at(start), Event.DISRUPTION_REQUESTED, str(number)))
            seen.append(Observation(at(start + 7.5), Event.DISRUPTION_COMPLETED, str(number)))
    return sorted(seen, key=lambda each: each.at)


def _going(mark: Any, pod: str, dies: float, wait: float) -> None:
    stop = dies + 0.01 + wait * 0.25
    mark(pod, Milestone.DELETION_REQUESTED, dies)
    mark(pod, Milestone.ENDPOINT_NOT_READY, dies + 0.02)
    if wait:
        mark(pod, Milestone.PRESTOP_STARTED, dies + 0.01)
        mark(pod, Milestone.PRESTOP_FINISHED, stop, ok=True)
    mark(pod, Milestone.STOP_SIGNAL, stop, signal="SIGTERM", pid1="python", caught=True)
    mark(pod, Milestone.LISTENER_CLOSED, stop + 0.01)
    mark(pod, Milestone.EXITED, stop + (0.3 if wait else 0.03), code=0)
    mark(pod, Milestone.GONE, stop + 0.6)


def _recording(requests: int, length: float, names: list[str], seen: list[Observation], loss: float) -> Recording:
    dice = random.Random(7)
    recording = Recording()
    peers = {name: recording.names.index(name) for name in names}
    failures = [recording.failure_index(each) for each in (REFUSED, REFUSED, CLOSED, RESET)]
    routes = _routes(seen)
    step = round(length * SECOND / requests)
    rows: list[tuple[int, ...]] = []
    place, current, going = 0, [], 0
    for n in range(requests):
        start = ORIGIN + n * step
        while place < len(routes) and routes[place][0] <= start:
            _, current, going = routes[place]
            place += 1
        lost = bool(loss and going and dice.random() < loss)
        took = round(dice.lognormvariate(0, 0.6) * 6 * MILLISECOND)
        failure = failures[n % 4] if lost else 0
        met = not lost or failure != failures[0]
        times = (start, start + 40_000, met * (start + 90_000), met * (start + 120_000))
        end = (0 if lost else start + took - 50_000, start + took)
        pod = current[0 if lost else n % len(current)]
        told = (n + 1, 1 if n % 2 == 0 else 2 + n // 600, failure, 0 if lost else 200, peers[pod], n % 2, 512)
        rows.append((*times, *end, *told))
    for name, values in zip((*INSTANTS, *NUMBERS), zip(*rows, strict=True), strict=True):
        column = getattr(recording, name)
        column.extend(array(column.typecode, values))
    for name in ("idle", "local_port", "peer", "served_by", "flags"):
        column = getattr(recording, name)
        column.extend(array(column.typecode, bytes(column.itemsize * requests)))
    recording.settled.extend(range(requests))
    recording.failed = sum(map(bool, recording.failure))
    return recording


def _routes(seen: list[Observation]) -> list[tuple[int, list[str], bool]]:
    """(from, pods that are routed to, whether the first of them is going) for every change; a table lags by 200 ms."""
    changes: list[tuple[int, list[str], bool]] = []
    ready: list[str] = []
    for each in seen:
        if each.what is Milestone.READY:
            ready = [*ready, each.subject]
            changes.append((each.at, ready, False))
        elif each.what is Milestone.ENDPOINT_NOT_READY:
            rest = [name for name in ready if name != each.subject]
            changes += [(each.at, [each.subject, *rest], True), (each.at + 200 * MILLISECOND, rest, False)]
            ready = rest
    return sorted(changes, key=lambda change: change[0])
