"""The kept-alive connections: which one the next request gets.

Law: first in, first out, so that all of them stay in use and are idle about equally long; as many as the rate needs
and no more, with a new one in the place of one that ended (or, without `refill`, only where none is idle). Beside them
*sleepers* are used only once they have been idle for 1, 2, 4 … 75 s, so that every usual idle time-out of a server is
met. Pure: it decides, the engine dials, looks and closes.
"""

from __future__ import annotations

from collections import deque
from typing import Generic, Protocol, TypeVar

from lameduck.core.instants import SECOND

SLEEPER_AGES = tuple(seconds * SECOND for seconds in (1, 2, 4, 5, 10, 30, 60, 75))
"""The idle ages at which sleepers are used (ns): around the default keep-alive time-outs of common servers."""

NEVER = 1 << 63
FEWEST = 20


class Pooled(Protocol):
    """What the pool needs of a connection."""

    idle_since: int
    sleeper: int

    @property
    def open(self) -> bool:
        """False once it was seen to have ended."""
        ...


C = TypeVar("C", bound=Pooled)


def right_size(rate: float, service_time: int) -> int:
    """How many connections a rate needs: max(20, 1.5 × rate × p50), the p50 of the service time in ns.

    A rate below 20 per second has as many as it has requests in a second, so that each is used again within about a
    second: longer idle times are the sleepers' part.
    """
    return max(min(FEWEST, round(rate)), round(1.5 * rate * service_time / SECOND), 2)


class Pool(Generic[C]):
    """Connections between their requests. `size` is how many should be in turn, idle or busy, sleepers aside.

    Without `refill` that many are dialled once; from then on one is dialled only where none is idle, and none is spare.
    """

    __slots__ = (
        "_dialled",
        "_idle",
        "_least_idle",
        "_next_due",
        "_refill",
        "_sleeping",
        "_slots",
        "in_turn",
        "members",
        "size",
    )

    def __init__(self, size: int = FEWEST, *, sleepers: bool = True, refill: bool = True) -> None:
        self.size = size
        self._refill = refill
        self._dialled = 0
        self.members: set[C] = set()
        """Every connection that was added and not removed."""
        self.in_turn = 0
        self._idle: deque[C] = deque()
        self._least_idle = 0
        self._slots = list(range(len(SLEEPER_AGES) if sleepers else 0))
        self._sleeping: list[tuple[int, C]] = []
        self._next_due = NEVER

    def add(self, connection: C) -> None:
        """A new connection has been dialled for a request."""
        self.members.add(connection)
        self.in_turn += 1
        self._dialled += 1

    def take(self, now: int) -> C | None:
        """The connection for the next request; None to dial a new one."""
        if now >= self._next_due and (sleeper := self._wake(now)) is not None:
            return sleeper
        if (self.in_turn if self._refill else self._dialled) < self.size:
            return None
        while self._idle:
            connection = self._idle.popleft()
            self._least_idle = min(self._least_idle, len(self._idle))
            if connection.open:
                return connection
        return None

    def give(self, connection: C) -> None:
        """A connection is idle again."""
        if connection.sleeper < 0 and self._slots:
            connection.sleeper = self._slots.pop(0)
            self.in_turn -= 1
        if connection.sleeper >= 0:
            due = connection.idle_since + SLEEPER_AGES[connection.sleeper]
            self._sleeping.append((due, connection))
            self._next_due = min(self._next_due, due)
        else:
            self._idle.append(connection)

    def spare(self) -> list[C]:
        """The connections beyond `size` that nobody has needed since the last call: the caller closes them."""
        count = max(0, min(self._least_idle, self.in_turn - self.size)) if self._refill else 0
        spare = [self._idle.popleft() for _ in range(count)]
        self._least_idle = len(self._idle)
        return spare

    def remove(self, connection: C) -> None:
        """A connection is no more; its place is free for another one."""
        if connection not in self.members:
            return
        self.members.remove(connection)
        if connection.sleeper >= 0:
            self._slots = sorted([*self._slots, connection.sleeper])
        else:
            self.in_turn -= 1

    def _wake(self, now: int) -> C | None:
        """The sleeper that has been due longest, if one is still open."""
        self._sleeping = sorted(
            ((due, sleeper) for due, sleeper in self._sleeping if sleeper.open), key=lambda entry: entry[0]
        )
        woken = self._sleeping.pop(0)[1] if self._sleeping and self._sleeping[0][0] <= now else None
        self._next_due = self._sleeping[0][0] if self._sleeping else NEVER
        return woken
