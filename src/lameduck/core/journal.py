"""The journal of `lameduck-pod`, read back out of a pod's log: the one place that knows when the stop signal came.

Law: a line counts only if it is whole and says when it was written; everything else in a log is somebody else's and is
skipped. What a line means as an observation is decided here; on whose clock it happened, by the caller: on this machine
``monotonic`` is our own clock, elsewhere `offset` says where the node's clock stands on ours.

The format is told in docs/pod.md, "The journal"; `lameduck_pod.journal` writes it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from lameduck.core.instants import SECOND
from lameduck.core.timeline import JOURNAL, Event, Milestone, Observation

BEGINNING = '{"lameduck": "'
"""Of every line, wherever it begins: a log may put a time before it, and a server's unfinished line may as well."""
LONGEST = 65_536


@dataclass(frozen=True, slots=True)
class Entry:
    """One line. ``monotonic`` is CLOCK_MONOTONIC of the pod's node, in nanoseconds; ``part``: run, drain, sidecar."""

    part: str
    event: str
    message: str
    monotonic: int
    pod: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)


def read(line: str) -> Entry | None:
    """The entry that stands in a line of a log, or None."""
    start = line.find(BEGINNING)
    if start < 0 or len(line) > LONGEST:
        return None
    try:
        said, _ = json.JSONDecoder().raw_decode(line, start)
    except (ValueError, RecursionError):
        return None
    part, event, message, monotonic, pod = (
        said.pop(key, None) for key in ("lameduck", "event", "message", "monotonic_ns", "pod")
    )
    if not isinstance(event, str) or not isinstance(monotonic, int):
        return None
    return Entry(str(part), event, str(message or ""), monotonic, str(pod or ""), said)


def entries(lines: Iterable[str]) -> Iterator[Entry]:
    """Those of a whole log, in its order."""
    for line in lines:
        entry = read(line)
        if entry is not None:
            yield entry


def offset(heard: Iterable[tuple[int, Entry]]) -> int | None:
    """What to add to a node's ``monotonic`` for our instant, of (our instant of arrival, entry) pairs of one node.

    No line arrives before it was written, so the smallest difference is the nearest to the truth; it is late by what
    the fastest line took. None: nothing was heard.
    """
    return min((at - entry.monotonic for at, entry in heard), default=None)


def observation(entry: Entry, subject: str, at: int, precision: int = 0) -> Observation | None:
    """What an entry tells of the pod ``subject``, which happened at our instant ``at``; None: nothing for a proof."""
    match entry.part, entry.event:
        case "run", "stop_signal":
            detail = {
                **_of(entry, "signal", "sender"),
                "pid1": "lameduck-pod",
                "caught": True,
                "ignored": False,
                "is_shell": False,
                "how": "the pod's journal",
            }
            return Observation(at, Milestone.STOP_SIGNAL, subject, precision, JOURNAL, detail)
        case "run", "forwarded":
            detail = _of(entry, "signal", "reason", "why")
            waited = entry.facts.get("waited_s")
            if isinstance(waited, int | float):
                detail["waited_ns"] = round(waited * SECOND)
            return Observation(at, Milestone.FORWARDED, subject, precision, JOURNAL, detail)
        case "run", "killed":
            detail = {"by": "lameduck-pod", **_of(entry, "processes")}
            return Observation(at, Milestone.KILLED, subject, precision, JOURNAL, detail)
        case "run", "exited":
            detail = {"command_code": entry.facts.get("code"), "command_ended": entry.message}
            return Observation(at, Event.POD_FACT, subject, precision, JOURNAL, detail)
        case "sidecar", "prestop_started":
            return Observation(at, Milestone.PRESTOP_STARTED, subject, precision, JOURNAL)
        case "drain" | "sidecar", "drained":
            detail = {"ok": True, "reason": entry.facts.get("reason", ""), "why": entry.message}
            return Observation(at, Milestone.PRESTOP_FINISHED, subject, precision, JOURNAL, detail)
    return None


def _of(entry: Entry, *names: str) -> dict[str, Any]:
    return {name: entry.facts[name] for name in names if entry.facts.get(name) is not None}
