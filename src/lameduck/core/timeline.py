"""What happened to each pod, folded from observations.

Law: folding is a pure function of the observations, in the order they were received; the *first* mark of a milestone
counts (the API rewrites deletionTimestamp at the very end), and a mark carries how exactly its time is known. The pod's
own journal adds its details to a mark, and its time where that is more exact: it tells of the past, and arrives late.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

JOURNAL = "journal"
"""The source of what `lameduck-pod` wrote into the pod's log."""


class Milestone(StrEnum):
    """The moments of a pod's life that decide what happens to a request."""

    CREATED = "created"
    STARTED = "started"
    """The first process of the pod's first container runs."""
    LISTENING = "listening"
    READY = "ready"
    """The pod's condition Ready became true."""
    ENDPOINT_READY = "endpoint_ready"
    DELETION_REQUESTED = "deletion_requested"
    ENDPOINT_NOT_READY = "endpoint_not_ready"
    """Its endpoint's condition ready became false (detail: serving, terminating)."""
    PRESTOP_STARTED = "prestop_started"
    PRESTOP_FINISHED = "prestop_finished"
    """Detail: ok (bool), message, kind, missing_binary (true where what the hook names is not in the image),
    cut (true where the container ended first)."""
    STOP_SIGNAL = "stop_signal"
    """Detail, of the first process, where known: signal, pid1 (name), caught, ignored, is_shell, is_init, server and
    launcher (the known ones that it is, else "")."""
    FORWARDED = "forwarded"
    """`lameduck-pod run` passed the stop signal on to its command, at once or after its lame-duck time (detail: signal,
    waited_ns, reason, why). Not seen where something else is the first process."""
    LISTENER_CLOSED = "listener_closed"
    EXITED = "exited"
    """The first process ended (detail: code; 128+n for a signal n)."""
    KILLED = "killed"
    """SIGKILL was sent at the end of the grace period."""
    GONE = "gone"
    """The pod object is deleted."""


class Event(StrEnum):
    """Observations that are not a milestone of one pod."""

    DISRUPTION_REQUESTED = "disruption_requested"
    DISRUPTION_COMPLETED = "disruption_completed"
    DISRUPTION_FAILED = "disruption_failed"
    """It did not finish within its deadline (detail: why)."""
    ROUTES_CHANGED = "routes_changed"
    """A node's table came into force (detail: pods; fallback: terminating ones, for want of ready ones)."""
    WATCH_GAP = "watch_gap"
    """Blind from `detail.start` to `at`; closed by a relist (`detail.relist` true) or a resumed watch."""
    SOCKET_OPENED = "socket_opened"
    """A held WebSocket is open, to the pod that is the subject (detail: number)."""
    SOCKET_ENDED = "socket_ended"
    """It ended, and not by us (detail: number, opened, code (0: no close frame), reason, limit)."""
    POD_FACT = "pod_fact"
    """Anything else worth keeping of a pod; `detail` is merged into its facts."""


@dataclass(frozen=True, slots=True)
class Observation:
    """One thing that was seen, at an instant (ns), as exactly as ``precision`` (ns), by ``source``."""

    at: int
    what: Milestone | Event
    subject: str
    """The pod's name, or the disruption's number."""
    precision: int = 0
    source: str = ""
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Mark:
    """When a milestone was reached: instant and precision in nanoseconds, and who says so."""

    at: int
    precision: int
    source: str
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PodHistory:
    """One pod's life: its marks, and the facts that were noted on the way."""

    name: str
    marks: Mapping[Milestone, Mark]
    facts: Mapping[str, Any] = field(default_factory=dict)

    def at(self, milestone: Milestone) -> int | None:
        """The instant of a milestone, or None where it was not seen."""
        mark = self.marks.get(milestone)
        return None if mark is None else mark.at

    @property
    def exit_code(self) -> int | None:
        """The first process's exit code, where it was seen."""
        mark = self.marks.get(Milestone.EXITED)
        return None if mark is None else mark.detail.get("code")

    @property
    def terminated(self) -> bool:
        """Whether its deletion was requested during the run."""
        return Milestone.DELETION_REQUESTED in self.marks


def fold(observations: Iterable[Observation]) -> dict[str, PodHistory]:
    """Each pod's history by name, in the order in which the pods were first seen.

    An end that was a crash gives way to a later one: the pod went on.

    Where tables were observed, a pod's fact ``routed`` says whether one still holds it, ``unrouted_at`` when the last
    one let go of it (instant).
    """
    marks: dict[str, dict[Milestone, Mark]] = {}
    facts: dict[str, dict[str, Any]] = {}
    tables: dict[str, frozenset[str]] = {}
    for seen in observations:
        if isinstance(seen.what, Milestone):
            pod = marks.setdefault(seen.subject, {})
            pod[seen.what] = _mark(pod.get(seen.what), seen)
        elif seen.what is Event.POD_FACT:
            marks.setdefault(seen.subject, {})
            facts.setdefault(seen.subject, {}).update(seen.detail)
        elif seen.what is Event.ROUTES_CHANGED and "pods" in seen.detail:
            before = frozenset().union(*tables.values())
            tables[seen.subject] = frozenset(seen.detail["pods"])
            after = frozenset().union(*tables.values())
            for pod_name in after - before:
                facts.setdefault(pod_name, {})["routed"] = True
            for pod_name in before - after:
                facts.setdefault(pod_name, {}).update(routed=False, unrouted_at=seen.at)
    return {name: PodHistory(name, pod, facts.get(name, {})) for name, pod in marks.items()}


def _mark(known: Mark | None, seen: Observation) -> Mark:
    if known is None or known.detail.get("crash"):
        return Mark(seen.at, seen.precision, seen.source, seen.detail)
    if seen.source != JOURNAL or known.source == JOURNAL:
        return known
    if seen.precision < known.precision:
        return Mark(seen.at, seen.precision, seen.source, {**known.detail, **seen.detail})
    return replace(known, detail={**seen.detail, **known.detail})
