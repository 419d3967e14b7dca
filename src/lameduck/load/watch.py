"""The engine watches itself: what was late or missing through our own fault.

Law: a heartbeat that comes late shows that this process, not the target, stood still; what overlaps such a stall proves
nothing about the target.
"""

from __future__ import annotations

from lameduck.core.exchange import Kind
from lameduck.core.instants import MILLISECOND
from lameduck.core.recording import Recording

BEAT = 10 * MILLISECOND
"""Between two heartbeats, in ns."""

STALL = 50 * MILLISECOND
"""A heartbeat later than this (ns) is a stall."""


class SelfWatch:
    """Stalls of the event loop as (start, duration) in ns, and the requests that could not be sent."""

    def __init__(self, recording: Recording) -> None:
        self._recording = recording
        self._due = 0
        self.stalls: list[tuple[int, int]] = []
        self.started = 0
        """The instant from which the arrivals count; 0 before."""
        self.ended = 0
        """The instant after which no request was due; 0 before."""

    @property
    def unsent(self) -> int:
        """Requests that were due and could not be sent, by our own limits."""
        numbers = [n for n, failure in enumerate(self._recording.failures) if failure and failure.kind is Kind.NOT_SENT]
        return sum(self._recording.failure.count(number) for number in numbers)

    def beat(self, now: int) -> bool:
        """Take note of a heartbeat; True if the loop had stalled before it."""
        late = now - self._due if self._due else 0
        stalled = late >= STALL
        if stalled:
            self.stalls.append((self._due, late))
        self._due = now + BEAT
        return stalled
