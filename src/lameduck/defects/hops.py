"""What a hop that says nothing of its own connections must have met at a pod, by what was seen of the pods.

Law: only what no pod can have answered is laid to a hop: a 502, 503 or 504 that names no pod where pods name
themselves, a new connection that was closed without an answer, or an answer that never came. It belongs to the pods
that were ending just then. What the hop met there is inferred, so that a cause which rests on it is *likely*, never
certain; where those pods give different causes, only the hop is named.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from lameduck.core import path
from lameduck.core.exchange import Behind, Kind, Stage
from lameduck.core.instants import MILLISECOND
from lameduck.core.join import Joined, Tie
from lameduck.core.timeline import Milestone, PodHistory
from lameduck.defects.evidence import Evidence

CUT = frozenset({Kind.CLOSED, Kind.RESET})
GATEWAY = frozenset({502, 503, 504})
NEAR = 100 * MILLISECOND
NEVER = 1 << 62


def infer(cases: Iterable[Joined], evidence: Evidence) -> list[Joined]:
    """The cases; those that a silent hop made have what it must have met, and the pods that were ending then."""
    if path.parse(str(evidence.facts.get("via", "service"))).kind is not path.Kind.INGRESS:
        return list(cases)
    return [_inferred(case, evidence) if _silent(case, evidence) else case for case in cases]


def _silent(case: Joined, evidence: Evidence) -> bool:
    exchange, failure = case.exchange, case.exchange.failure
    if failure is None or failure.behind is not None or case.tie is not Tie.CANDIDATES:
        return False
    if failure.kind is Kind.BAD_STATUS:
        return exchange.status in GATEWAY and evidence.pods_name_themselves
    if failure.kind in CUT and exchange.nth_on_connection > 1:
        return False  # the hop's own idle close, perhaps
    return failure.kind in {Kind.TIMEOUT, *CUT} and failure.stage in {Stage.AWAIT, Stage.SEND}


def _inferred(case: Joined, evidence: Evidence) -> Joined:
    exchange, failure = case.exchange, case.exchange.failure
    assert failure is not None
    began, swallowed = exchange.actual_start or exchange.intended_start, failure.kind is Kind.TIMEOUT
    dialled = tuple(pod for pod in case.pods if _stopped(pod) <= began <= _forgotten(pod, evidence))
    held = tuple(pod for pod in case.pods if began < _stopped(pod) and _ended_at(pod, case.judged_at))
    if failure.kind in CUT and not dialled:
        return case  # cut as by the pod itself
    met = Behind(Stage.CONNECT, Kind.TIMEOUT if swallowed else Kind.REFUSED, inferred=True)
    if held and not dialled and not swallowed:
        met = Behind(Stage.AWAIT, Kind.CLOSED, inferred=True)
    pods = dialled if swallowed else dialled + held
    return replace(case, exchange=replace(exchange, failure=replace(failure, behind=met)), pods=pods, tie=Tie.HOP)


def _stopped(pod: PodHistory) -> int:
    """The earliest instant at which it may have stopped listening."""
    ends = (Milestone.STOP_SIGNAL, Milestone.LISTENER_CLOSED, Milestone.EXITED)
    return min((mark.at - mark.precision for each in ends if (mark := pod.marks.get(each)) is not None), default=NEVER)


def _forgotten(pod: PodHistory, evidence: Evidence) -> int:
    """Until when a hop may still have dialled it."""
    not_ready = pod.at(Milestone.ENDPOINT_NOT_READY)
    return NEVER if not_ready is None else not_ready + evidence.late


def _ended_at(pod: PodHistory, at: int) -> bool:
    exited = pod.marks.get(Milestone.EXITED)
    return exited is not None and exited.at - exited.precision - NEAR <= at <= exited.at + NEAR
