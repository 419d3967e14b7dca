"""Small recorded worlds for the tests of diagnosis and verdict: ms from the start of the load, one pod `old`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from lameduck.core.exchange import Exchange, Failure, Kind, Lane, Stage
from lameduck.core.instants import MILLISECOND, SECOND
from lameduck.core.join import NO_ENDPOINT
from lameduck.core.plan import DisruptionPlan, Plan, TrafficPlan
from lameduck.core.recording import Recording
from lameduck.core.run import ClusterFacts, Run
from lameduck.core.timeline import Event, Milestone, Observation

ORIGIN = 1_000 * SECOND
DELETION = 10_000
"""When `old` is deleted, in ms."""


def at(ms: float) -> int:
    """The instant of a number of milliseconds."""
    return ORIGIN + round(ms * MILLISECOND)


def life(pod: str, details: Mapping[str, Mapping[str, Any]] | None = None, **ms: float) -> list[Observation]:
    """A pod's milestones by name, in ms; ``details`` by milestone."""
    details = details or {}
    return [Observation(at(when), Milestone(name), pod, detail=details.get(name, {})) for name, when in ms.items()]


def going(
    pod: str = "old", *, details: Mapping[str, Mapping[str, Any]] | None = None, **ms: float
) -> list[Observation]:
    """A pod that is deleted at `DELETION`; times are ms after that. None leaves the milestone out."""
    usual: dict[str, float | None] = {"deletion_requested": 0, "endpoint_not_ready": 15, "stop_signal": 10, "gone": 900}
    usual.update(ms)
    told = {
        "exited": {"code": 0},
        "stop_signal": {"signal": "SIGTERM", "pid1": "server", "caught": True},
        **(details or {}),
    }
    before = life(pod, created=0, started=100, listening=200, ready=400)
    return before + life(pod, told, **{name: DELETION + when for name, when in usual.items() if when is not None})


def lost(
    ms: float,
    kind: str,
    stage: str = "connect",
    *,
    lane: str = "new",
    pod: str = "old",
    after: float = 0.0,
    sent: float | None = None,
    first_byte: float | None = None,
    nth: int = 1,
    status: int = 0,
    port: int = 40_000,
) -> Exchange:
    """A failed exchange that starts ``ms`` after the deletion and fails ``after`` ms later."""
    start = at(DELETION + ms)
    connected = None if stage == "connect" else start
    return Exchange(
        seq=0,
        lane=Lane(lane),
        intended_start=start,
        actual_start=start,
        connected=connected,
        sent=connected if sent is None else at(DELETION + sent),
        first_byte=None if first_byte is None else at(DELETION + first_byte),
        finished=start + round(after * MILLISECOND),
        connection=1,
        nth_on_connection=nth,
        local_port=port,
        status=status,
        routed_to=pod,
        failure=Failure(Stage(stage), Kind(kind), detail="" if pod else NO_ENDPOINT),
    )


def fine(ms: float, *, pod: str = "old", lane: str = "new", took: float = 5.0, **more: Any) -> Exchange:
    """A good exchange that starts ``ms`` after the load began."""
    start, end = at(ms), at(ms + took)
    given = {"status": 200, "connection": 1, "nth_on_connection": 1, **more}
    return Exchange(0, Lane(lane), start, start, start, start, end, end, routed_to=pod, **given)


def steady(until: float, *, pods: Iterable[str] = ("old", "other"), step: float = 10.0) -> list[Exchange]:
    """Good traffic on both lanes from 0 to ``until`` ms, a request every ``step`` ms on each; from `DELETION` on only
    to the last of the pods, unless there is but one."""
    names = list(pods)
    count = int(until / step)
    return [
        fine(
            n * step,
            pod=names[n % len(names)] if n * step < DELETION else names[-1],
            lane=lane,
            nth_on_connection=1 if lane == "new" else n + 2,
        )
        for n in range(count)
        for lane in ("new", "reuse")
    ]


def run_of(
    observations: Iterable[Observation],
    exchanges: Iterable[Exchange] = (),
    *,
    rolled: int = 1,
    completed: int | None = None,
    ended: float = 20_000,
    facts: Mapping[str, Any] | None = None,
    plan: Plan | None = None,
    **more: Any,
) -> Run:
    """A run with one rollout from 9.9 s to 15 s, on top of the given life and exchanges."""
    recording = Recording()
    for exchange in sorted(exchanges, key=lambda e: e.intended_start):
        recording.add(exchange)
    seen = list(observations)
    done = rolled if completed is None else completed
    seen += [Observation(at(9_900 + n), Event.DISRUPTION_REQUESTED, str(n + 1)) for n in range(rolled)]
    seen += [Observation(at(15_000 + n), Event.DISRUPTION_COMPLETED, str(n + 1)) for n in range(done)]
    known = {"kind": "local", "name": "app", "replicas": 2, "grace": 30 * SECOND, **(facts or {})}
    plan = plan or Plan(TrafficPlan(rate=200), DisruptionPlan(times=rolled))
    return Run(plan, ClusterFacts(**known), recording, seen, at(0), at(ended), **more)
