"""What became of the WebSockets that were held open through the disruptions.

Law: a socket that ended with a close frame and was open again in time has *moved*, which is what a going pod should do
with it; one that ended without a close frame, or with one that names a fault, was *cut*; one that could not be opened
again in time was *stranded*. Cut and stranded sockets are losses, like a failed request. Nothing is concluded from an
end that our own stop made.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from lameduck.core.instants import human, to_ms
from lameduck.core.proof import Gate, Termination
from lameduck.core.timeline import Event, Milestone, Observation

ANNOUNCED = frozenset({1000, 1001, 1005, 1012, 1013})
"""Close codes (RFC 6455, 7.4.1; IANA's registry) that tell a client to come again: normal, going away, no code given,
service restart, try again later. Any other, such as 1011, names a fault."""


@dataclass(frozen=True, slots=True)
class SocketEnd:
    """One WebSocket's end that was not ours. Instants and spans in nanoseconds."""

    number: int
    """Which of the held ones, from 0."""
    pod: str
    opened: int
    ended: int
    code: int
    """The close frame's code; 0 where none came."""
    reason: str
    """What the client saw: the frame's reason, or how the connection broke."""
    back_after: int | None
    """From its end to its being open again; None where that did not happen."""
    limit: int
    """How long it may take to come back."""

    @property
    def announced(self) -> bool:
        """The peer said that it was going."""
        return self.code in ANNOUNCED

    @property
    def back(self) -> bool:
        """It was open again in time."""
        return self.back_after is not None and self.back_after <= self.limit

    @property
    def lost(self) -> bool:
        """Cut, or stranded."""
        return not (self.announced and self.back)


@dataclass(frozen=True, slots=True)
class SocketTally:
    """All of a run's WebSockets in numbers, and those that were lost."""

    held: int
    moved: int
    cut: int
    stranded: int
    """Announced, and not open again in time."""
    slowest_return: int | None
    """The longest time to be open again (ns)."""
    lost: tuple[SocketEnd, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """JSON types; times in milliseconds."""
        return {
            "held": self.held,
            "moved": self.moved,
            "cut": self.cut,
            "stranded": self.stranded,
            "slowest_return_ms": None if self.slowest_return is None else to_ms(self.slowest_return),
        }

    def words(self) -> str:
        """The tally for people, without the number held."""
        parts = [f"{self.moved} moved (a close frame, and open again)"] if self.moved else []
        parts += [f"{self.cut} cut without one that says so"] if self.cut else []
        parts += [f"{self.stranded} not open again in time"] if self.stranded else []
        if self.slowest_return is not None:
            parts.append(f"open again within {human(self.slowest_return)}")
        return " · ".join(parts) or "none ended"


def ends(observations: Iterable[Observation], load_ended: int) -> Iterator[SocketEnd]:
    """Each end, with when its socket was open again. One that our own end of the load left no time for is left out."""
    open_ended: dict[int, SocketEnd] = {}
    for seen in observations:
        if seen.what is Event.SOCKET_ENDED:
            detail = seen.detail
            open_ended[detail["number"]] = SocketEnd(
                number=detail["number"],
                pod=seen.subject,
                opened=detail["opened"],
                ended=seen.at,
                code=detail["code"],
                reason=detail["reason"],
                back_after=None,
                limit=detail["limit"],
            )
        elif seen.what is Event.SOCKET_OPENED and (end := open_ended.pop(seen.detail["number"], None)):
            yield replace(end, back_after=seen.at - end.ended)
    for end in open_ended.values():
        if not end.announced or end.ended + end.limit <= load_ended:
            yield end


def tally(observations: Iterable[Observation], load_ended: int) -> SocketTally | None:
    """The numbers of a run; None where no WebSocket was held."""
    seen = list(observations)
    held = {each.detail["number"] for each in seen if each.what is Event.SOCKET_OPENED}
    if not held:
        return None
    all_ends = sorted(ends(seen, load_ended), key=lambda end: end.ended)
    return SocketTally(
        held=len(held),
        moved=sum(not end.lost for end in all_ends),
        cut=sum(not end.announced for end in all_ends),
        stranded=sum(end.announced and not end.back for end in all_ends),
        slowest_return=max((end.back_after for end in all_ends if end.back_after is not None), default=None),
        lost=tuple(end for end in all_ends if end.lost),
    )


def held_at_deletion(observations: Iterable[Observation]) -> Mapping[str, int]:
    """For each pod, how many WebSockets it held when its deletion was requested; those of "" may be anybody's."""
    now: dict[str, int] = {}
    held: dict[str, int] = {}
    for seen in observations:
        if seen.what is Event.SOCKET_OPENED:
            now[seen.subject] = now.get(seen.subject, 0) + 1
        elif seen.what is Event.SOCKET_ENDED:
            now[seen.subject] = now.get(seen.subject, 0) - 1
        elif seen.what is Milestone.DELETION_REQUESTED:
            held[seen.subject] = now.get(seen.subject, 0)
    return {**held, "": now.get("", 0)} if now.get("") else held


def socket_gate(terminations: Iterable[Termination], held: Mapping[str, int]) -> Gate:
    """Every pod that went held a WebSocket: else its going says nothing of them."""
    name = "every termination held a WebSocket"
    if held.get(""):
        detail = "to which pods they were open is not known"
        return Gate(name, False, detail, "let the server name its pod in the upgrade's answer (--served-by-header)")
    bare = [termination.pod.name for termination in terminations if not held.get(termination.pod.name)]
    if bare:
        return Gate(name, False, f"none was open to {', '.join(bare[:3])} at its deletion", "hold more: --sockets 50")
    return Gate(name, True, f"{sum(held.values())} open at the {len(held)} deletions")
