"""Another machine's clock on ours, from questions and answers.

Law (as in NTP, RFC 5905): an answer was written between the question and its arrival, so the other clock's offset is
known to half of that time; of many the quickest knows it best. Clocks drift, so it is asked at the beginning and at the
end, and between the two the offset goes in a straight line. What the line leaves unexplained is error too.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass

from lameduck.core.instants import SECOND

SAME = SECOND
"""Questions asked so close together (ns) are one occasion."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One question: sent and answered (our instants, ns), and what the other clock said."""

    sent: int
    answered: int
    said: int

    @property
    def at(self) -> int:
        """The middle of it, on our clock."""
        return (self.sent + self.answered) // 2

    @property
    def offset(self) -> int:
        """Theirs minus ours."""
        return self.said - self.at

    @property
    def error(self) -> int:
        """How far off the offset may be."""
        return (self.answered - self.sent + 1) // 2


@dataclass(frozen=True, slots=True)
class Clock:
    """The other clock: its offset at two of our instants, and how far off any of it may be (ns)."""

    start: int
    offset: int
    end: int
    later: int
    error: int

    def offset_at(self, ours: int) -> int:
        """Theirs minus ours at one of our instants; before the first and after the last as it was then."""
        if self.end <= self.start:
            return self.offset
        inside = min(max(ours, self.start), self.end)
        return self.offset + (self.later - self.offset) * (inside - self.start) // (self.end - self.start)

    def theirs(self, ours: int) -> int:
        """Our instant on their clock."""
        return ours + self.offset_at(ours)

    def ours(self, theirs: int) -> int:
        """Their instant on our clock; the drift within one offset is below a nanosecond per second, so it is left."""
        return theirs - self.offset_at(theirs - self.offset)

    def column(self, instants: array[int]) -> array[int]:
        """A whole column of their instants on our clock; 0 ("never") stays 0."""
        if self.later == self.offset:
            shift = self.offset
            return array("q", (at - shift if at else 0 for at in instants))
        return array("q", (self.ours(at) if at else 0 for at in instants))


def fit(asked: Sequence[Asked]) -> Clock:
    """The clock that explains the answers, in the order in which they were asked. Raises `ValueError` for none."""
    if not asked:
        raise ValueError("a clock that never answered is not known")
    first = min((each for each in asked if each.at - asked[0].at <= SAME), key=lambda each: each.error)
    last = min((each for each in asked if asked[-1].at - each.at <= SAME), key=lambda each: each.error)
    if last.at - first.at <= SAME:
        best = min(first, last, key=lambda each: each.error)
        first = last = best
    line = Clock(first.at, first.offset, last.at, last.offset, 0)
    beyond = max(abs(each.offset - line.offset_at(each.at)) - each.error for each in asked)
    return Clock(first.at, first.offset, last.at, last.offset, max(first.error, last.error, beyond))
