"""One run as it was recorded: everything a verdict needs, without a cluster or a clock.

Law: judging a `Run` is a pure function, so that an old run file can be judged and rendered again; what is not in here
cannot enter a verdict.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lameduck.core.foreign import Foreign
from lameduck.core.plan import Plan
from lameduck.core.proof import Stall
from lameduck.core.recording import Recording
from lameduck.core.timeline import Observation


@dataclass(frozen=True, slots=True)
class ClusterFacts:
    """What is known before anything is disrupted; it goes into the run file and the report."""

    kind: str
    """``local`` or ``kubernetes``."""
    name: str
    replicas: int
    grace: int
    """The grace period in nanoseconds."""
    pre_stop: str = ""
    """The preStop hook in words, "" for none."""
    pre_stop_delay: int = 0
    """How long the preStop hook delays the stop signal, where its text says so (ns)."""
    host: str = ""
    """The Host header, "" for the name."""
    address: str = ""
    """Where any client can reach the Service."""
    notes: tuple[str, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Run:
    """A recorded run. Instants in nanoseconds (CLOCK_MONOTONIC of the machine that ran it)."""

    plan: Plan
    facts: ClusterFacts
    recording: Recording
    observations: Sequence[Observation]
    load_started: int
    load_ended: int
    stalls: Sequence[Stall] = ()
    wall_anchor: int = 0
    """Wall-clock time (ns since the epoch) at `load_started`: only to print."""
    complete: bool = True
    """False where the recorder died before the end; the verdict is then INCONCLUSIVE at best."""
    stopped_early: str = ""
    """Why further disruptions were called off, "" if they were not."""
    foreign: Foreign | None = None
    """Whose load it was, where it was not ours."""
    meta: Mapping[str, Any] = field(default_factory=dict)
    """Versions, the command line, where the run is kept."""
