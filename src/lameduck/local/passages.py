"""Which pod a request of somebody else's load went to, told by what passed through the doorway.

The tool's file has no connection numbers, but the doorway saw every connection: when it came, which pod it was routed
to, when it last asked and was last answered, and who ended it. A request that failed without an answer is the last one
of its connection, and that connection asked while the request lasted and was answered nothing since; if it timed out,
it was the client that ended it, then. Law: a failed
request belongs to a pod only if every connection of which that is true went to that pod; else nobody is named. Where
the pod refused, the client saw a connection that was accepted and then cut: it is booked as what it was.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from errno import ECONNREFUSED

from lameduck.core.exchange import Exchange, Failure, Kind, Lane, Stage
from lameduck.core.instants import MILLISECOND
from lameduck.core.join import CLOSED_BEFORE, NO_ENDPOINT
from lameduck.core.recording import LANES, Recording

SLACK = 5 * MILLISECOND
"""Tools round their times to milliseconds, and this process takes some to look."""
PROMPT = 50 * MILLISECOND
"""A client asks so soon after it began, notices a cut so soon after it came, and closes so soon after it gave up; of
one that is slower no pod is named."""


class End(StrEnum):
    """How a connection ended."""

    REFUSED = "refused"
    """The pod refused it."""
    REJECTED = "rejected"
    """No endpoint was usable."""
    BY_POD = "by pod"
    BY_CLIENT = "by client"


@dataclass(slots=True)
class Passage:
    """One connection through the doorway. Instants in nanoseconds; 0 for what did not happen."""

    opened: int
    pod: str = ""
    connected: int = 0
    """To the pod."""
    asked: int = 0
    """The last byte that came from the client."""
    requests: int = 0
    """How often the client asked after an answer, or first."""
    answered: int = 0
    """The last byte that came from the pod."""
    ended: int = 0
    end: End | None = None


UNANSWERED = frozenset({Kind.CLOSED, Kind.RESET, Kind.PROTOCOL, Kind.TIMEOUT})


def attribute(recording: Recording, passages: Iterable[Passage]) -> None:
    """Fill in ``routed_to``, and what really failed, of failed exchanges that have no pod yet."""
    every = list(passages)
    asking = _By([each for each in every if each.asked > each.answered and each.connected], lambda each: each.asked)
    away = {End.REFUSED, End.REJECTED}
    turned_away = _By([each for each in every if each.end in away], lambda each: each.opened)
    left = _By([each for each in every if each.end is End.BY_CLIENT], lambda each: each.ended)
    for seq, number in enumerate(recording.failure):
        if not number or recording.routed_to[seq] or recording.served_by[seq]:
            continue
        exchange = recording.exchange(seq)
        failure = exchange.failure
        if failure is None or failure.kind not in UNANSWERED or exchange.status or exchange.finished is None:
            continue
        start, end = exchange.intended_start - SLACK, exchange.finished + SLACK
        if failure.kind is Kind.TIMEOUT:
            gave_up = left.within(exchange.finished - SLACK, exchange.finished + PROMPT)
            begun = range(start, exchange.intended_start + PROMPT)
            possible = [p for p in gave_up if p.answered < start and (p.asked or p.opened) in begun]
        else:
            cut = range(exchange.finished - PROMPT, end)
            possible = [*asking.within(start, end), *turned_away.within(start, end)]
            possible = [p for p in possible if max(p.ended, p.asked) in cut]
        pods = {each.pod for each in possible}
        if len(pods) == 1:
            recording.routed_to[seq] = recording.names.index(pods.pop())
        if len(possible) == 1:
            _fill(recording, seq, possible[0])
        truth = {_truth(exchange, each) for each in possible}
        if len(truth) == 1 and (real := truth.pop()) is not None:
            recording.failure[seq] = recording.failure_index(real)


class _By:
    """Passages in the order of one of their instants."""

    def __init__(self, passages: Sequence[Passage], when: Callable[[Passage], int]) -> None:
        self._passages = sorted(passages, key=when)
        self._times = [when(each) for each in self._passages]

    def within(self, start: int, end: int) -> Sequence[Passage]:
        return self._passages[bisect_left(self._times, start) : bisect_right(self._times, end)]


def _fill(recording: Recording, seq: int, passage: Passage) -> None:
    """What is known of an exchange's own connection."""
    new = passage.requests <= 1
    recording.lane[seq] = LANES.index(Lane.NEW if new else Lane.REUSE)
    recording.nth_on_connection[seq] = max(1, passage.requests)
    recording.sent[seq] = passage.asked
    if not new:
        recording.idle[seq] = max(0, passage.asked - passage.answered)


def _truth(exchange: Exchange, passage: Passage) -> Failure | None:
    """What the client would have met without a doorway before the pod; None for what it says itself."""
    if passage.end is End.REFUSED:
        return Failure(Stage.CONNECT, Kind.REFUSED, ECONNREFUSED, "refused by the pod; the doorway had accepted")
    if passage.end is End.REJECTED:
        return Failure(Stage.CONNECT, Kind.REFUSED, ECONNREFUSED, NO_ENDPOINT)
    if passage.end is End.BY_POD and passage.requests > 1 and passage.asked > passage.ended:
        return Failure(Stage.SEND, Kind.CLOSED, 0, CLOSED_BEFORE)
    if not passage.connected and exchange.failure is not None and exchange.failure.kind is Kind.TIMEOUT:
        return Failure(Stage.CONNECT, Kind.TIMEOUT, 0, "swallowed by the pod's address; the doorway had accepted")
    return None
