"""When requests were at risk.

Law (docs/verdict.md, "Windows"): a termination's *exposed window* runs from its deletion − 0.1 s to the latest of the
pod's end, 3 s after its endpoint stopped being ready, and the moment at which no observed table holds it any more; the
*baseline* runs from the end of the settling time to the first disruption. Bounds and the lag are judged over exposed
windows only: baseline requests were never at risk.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lameduck.core.instants import MILLISECOND, SECOND
from lameduck.core.timeline import Event, Milestone, Observation, PodHistory

BEFORE_DELETION = 100 * MILLISECOND
AFTER_NOT_READY = 3 * SECOND


@dataclass(frozen=True, slots=True)
class Window:
    """From ``start`` to ``end`` (instants, ns), both included."""

    start: int
    end: int

    def __contains__(self, at: int) -> bool:
        return self.start <= at <= self.end

    @property
    def length(self) -> int:
        """Its length in nanoseconds."""
        return self.end - self.start


def exposed(pod: PodHistory, end: int) -> Window | None:
    """The exposed window of one pod's termination, or None where its deletion was not seen.

    ``end`` is the end of observation: it stands for milestones that never came.
    """
    deletion = pod.at(Milestone.DELETION_REQUESTED)
    if deletion is None:
        return None
    not_ready, gone = pod.at(Milestone.ENDPOINT_NOT_READY), pod.at(Milestone.GONE)
    if gone is None or not_ready is None or pod.facts.get("routed"):
        return Window(deletion - BEFORE_DELETION, end)
    last = max(gone, not_ready + AFTER_NOT_READY, pod.facts.get("unrouted_at", 0))
    return Window(deletion - BEFORE_DELETION, last)


def disturbed(observations: Iterable[Observation], end: int) -> list[Window]:
    """The exposed windows of disruptions that end no pod (a crash, a reload): the disruptions themselves, and 3 s more.

    ``end`` is the end of observation: it stands for ends that never came.
    """
    begun: dict[str, int] = {}
    over: dict[str, int] = {}
    for seen in observations:
        if seen.what is Event.DISRUPTION_REQUESTED:
            begun[seen.subject] = seen.at
        elif seen.what is Event.DISRUPTION_COMPLETED:
            over[seen.subject] = seen.at
    last = {subject: over[subject] + AFTER_NOT_READY if subject in over else end for subject in begun}
    return [Window(at - BEFORE_DELETION, last[subject]) for subject, at in begun.items()]


class Windows:
    """Whether an instant lies in any of some windows, in logarithmic time."""

    def __init__(self, windows: Iterable[Window]) -> None:
        self.merged = _merge(sorted(windows, key=lambda window: window.start))
        self._starts = [window.start for window in self.merged]

    def __contains__(self, at: int) -> bool:
        place = bisect_right(self._starts, at) - 1
        return place >= 0 and at <= self.merged[place].end


def _merge(windows: Sequence[Window]) -> list[Window]:
    merged: list[Window] = []
    for window in windows:
        if merged and window.start <= merged[-1].end:
            merged[-1] = Window(merged[-1].start, max(merged[-1].end, window.end))
        else:
            merged.append(window)
    return merged
