"""Which pod a failed exchange belongs to, and how.

Law: a pod is named by the strongest evidence there is (the answer's header, then the dialer's choice, then the peer's
address); where none names it, every pod that could have been routed to then is a *candidate*, never a guess. One
that met no usable endpoint belongs to no pod.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from lameduck.core.exchange import Exchange, Kind, Stage
from lameduck.core.timeline import Milestone, PodHistory


class Tie(StrEnum):
    """What tied an exchange to its pods."""

    HEADER = "header"
    DIALER = "dialer"
    PEER = "peer"
    CANDIDATES = "candidates"
    NO_ENDPOINT = "no endpoint"
    HOP = "hop"
    """A hop that said nothing made the failure: the pods that were ending then."""


NO_ENDPOINT = "no usable endpoint"
"""The failure's detail where the node's table held nobody to route to."""

CLOSED_BEFORE = "its pod had closed the connection before the request came"
"""The failure's detail where that was seen: the client did not look before it used a kept-alive connection again."""


@dataclass(frozen=True, slots=True)
class Joined:
    """A failed exchange, with its pods: one that is sure, several that are possible, or none."""

    exchange: Exchange
    pods: tuple[PodHistory, ...]
    tie: Tie

    @property
    def judged_at(self) -> int:
        """`judged_at` of its exchange."""
        return judged_at(self.exchange)


def judged_at(exchange: Exchange) -> int:
    """The instant (ns) at which a pod's state decided a failure: a connect is judged at its SYN, else at the failure.

    A request may begin before a disruption and be cut by it: when it began says nothing.
    """
    if exchange.failure is not None and exchange.failure.stage in {Stage.RESOLVE, Stage.CONNECT}:
        return exchange.actual_start or exchange.intended_start
    return exchange.finished or exchange.intended_start


def join(exchanges: Iterable[Exchange], pods: Mapping[str, PodHistory]) -> list[Joined]:
    """Each failed exchange with its pod or candidates; our own NOT_SENT are left out."""
    by_ip = {str(pod.facts["ip"]): pod for pod in pods.values() if pod.facts.get("ip")}
    return [
        _join(exchange, pods, by_ip)
        for exchange in exchanges
        if exchange.failure is not None and exchange.failure.kind is not Kind.NOT_SENT
    ]


def _join(exchange: Exchange, pods: Mapping[str, PodHistory], by_ip: Mapping[str, PodHistory]) -> Joined:
    if exchange.served_by in pods:
        return Joined(exchange, (pods[exchange.served_by],), Tie.HEADER)
    if exchange.routed_to in pods:
        return Joined(exchange, (pods[exchange.routed_to],), Tie.DIALER)
    peer = by_ip.get(exchange.peer.rpartition(":")[0])
    if peer is not None:
        return Joined(exchange, (peer,), Tie.PEER)
    if NO_ENDPOINT in _details(exchange):
        return Joined(exchange, (), Tie.NO_ENDPOINT)
    at = exchange.connected or exchange.actual_start or exchange.intended_start
    return Joined(exchange, tuple(pod for pod in pods.values() if _possible(pod, at)), Tie.CANDIDATES)


def _details(exchange: Exchange) -> tuple[str, ...]:
    failure = exchange.failure
    return () if failure is None else (failure.detail, failure.behind.detail if failure.behind else "")


def _possible(pod: PodHistory, at: int) -> bool:
    created = pod.at(Milestone.CREATED) or pod.at(Milestone.STARTED)
    return created is None or created <= at


_STAGES = (
    (Milestone.GONE, "gone"),
    (Milestone.EXITED, "after its exit"),
    (Milestone.KILLED, "after SIGKILL"),
    (Milestone.LISTENER_CLOSED, "after its listener closed"),
    (Milestone.FORWARDED, "after its stop signal was passed on"),
    (Milestone.STOP_SIGNAL, "after its stop signal"),
    (Milestone.PRESTOP_STARTED, "during its preStop"),
    (Milestone.DELETION_REQUESTED, "after its deletion was requested"),
    (Milestone.READY, "ready"),
    (Milestone.LISTENING, "listening, not ready"),
    (Milestone.STARTED, "started, not listening"),
    (Milestone.CREATED, "created, not started"),
)


def stage_of_life(pod: PodHistory, at: int) -> str:
    """Where in its life a pod was at an instant, in words."""
    for milestone, words in _STAGES:
        reached = pod.at(milestone)
        if reached is not None and reached <= at:
            return words
    return "not created"
