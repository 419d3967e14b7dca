"""Which of several candidate pods a failed exchange can have met, by what was seen of them.

Law: a candidate is struck out only by evidence: it had never been routed to, its process had ended before the
connection was made, or it stood there ready and undisturbed while another candidate was just then ending. Where the
evidence would strike out all of them, all of them stay.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from lameduck.core.exchange import Exchange, Kind, Lane, Stage
from lameduck.core.instants import MILLISECOND
from lameduck.core.join import Joined, Tie
from lameduck.core.timeline import Milestone, PodHistory
from lameduck.defects.evidence import Evidence, signature

NEVER = 1 << 62
SETTLING = 100 * MILLISECOND
"""What a mark's own precision does not cover: the way from an event to the one who notes it."""
CUT = frozenset({Kind.CLOSED, Kind.RESET, Kind.TRUNCATED})


def narrow(cases: Iterable[Joined], evidence: Evidence) -> list[Joined]:
    """The cases, those with several candidates left with the ones that the evidence allows."""
    return [replace(case, pods=_left(case, evidence)) if case.tie is Tie.CANDIDATES else case for case in cases]


def _left(case: Joined, evidence: Evidence) -> tuple[PodHistory, ...]:
    exchange = case.exchange
    possible = tuple(pod for pod in case.pods if _was_routed_to(pod, exchange) and _was_alive(pod, exchange))
    ending = tuple(pod for pod in possible if _ends(pod, case, evidence))
    if (
        ending
        and not exchange.ambiguous
        and not (_race(exchange) and evidence.baseline_failures.get(signature(exchange)))
    ):
        return ending
    return possible or case.pods


def _was_routed_to(pod: PodHistory, exchange: Exchange) -> bool:
    """Whether its endpoint had been ready before the attempt."""
    if Milestone.ENDPOINT_READY not in pod.marks:
        return Milestone.ENDPOINT_NOT_READY in pod.marks or not pod.facts.get("ip")
    at = exchange.connected or exchange.actual_start or exchange.intended_start
    return _earliest(pod, Milestone.ENDPOINT_READY) <= at


def _was_alive(pod: PodHistory, exchange: Exchange) -> bool:
    """Whether it could have accepted a connection that was made."""
    if exchange.connected is None or exchange.lane is Lane.UNKNOWN:  # imported, of an old connection perhaps
        return True
    ended = min(_latest(pod, Milestone.EXITED), _latest(pod, Milestone.LISTENER_CLOSED), _latest(pod, Milestone.GONE))
    return exchange.connected <= ended


def _ends(pod: PodHistory, case: Joined, evidence: Evidence) -> bool:
    """Whether it was ending in a way that makes such a failure, just then."""
    failure, at = case.exchange.failure, case.judged_at
    if failure is None or not pod.terminated:
        return False
    told = Milestone.FORWARDED if Milestone.FORWARDED in pod.marks else Milestone.STOP_SIGNAL
    stopped = min(_earliest(pod, each) for each in (told, Milestone.LISTENER_CLOSED, Milestone.EXITED))
    if failure.stage is Stage.CONNECT:
        not_ready = pod.at(Milestone.ENDPOINT_NOT_READY)
        return stopped <= at and (not_ready is None or at <= not_ready + evidence.late)
    if failure.kind in CUT:
        return stopped <= at <= _latest(pod, Milestone.EXITED) + SETTLING
    return stopped <= at <= _latest(pod, Milestone.GONE)


def _race(exchange: Exchange) -> bool:
    """Whether a pod that nobody disturbed may have closed it: a kept-alive connection, before any byte of an answer."""
    cut = exchange.failure is not None and exchange.failure.kind in CUT
    return cut and exchange.first_byte is None and exchange.nth_on_connection != 1


def _earliest(pod: PodHistory, milestone: Milestone) -> int:
    mark = pod.marks.get(milestone)
    return NEVER if mark is None else mark.at - mark.precision


def _latest(pod: PodHistory, milestone: Milestone) -> int:
    mark = pod.marks.get(milestone)
    return NEVER if mark is None else mark.at


def tied(cases: Iterable[Joined]) -> Mapping[str, list[int]]:
    """When new connections that failed were attempted, by the one pod that each can have met."""
    attempts: dict[str, list[int]] = {}
    for case in cases:
        exchange = case.exchange
        attempt = exchange.nth_on_connection <= 1 and exchange.lane is not Lane.UNKNOWN
        if len(case.pods) == 1 and attempt and exchange.actual_start:
            attempts.setdefault(case.pods[0].name, []).append(exchange.actual_start)
    return attempts
