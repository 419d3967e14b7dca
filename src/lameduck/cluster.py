"""The ports through which a proof touches the world: a cluster to disrupt and watch, a dialer to reach it.

Law: an implementation reports what it sees through the `Observer` it was given, in the order it saw it, with its own
receive clock (CLOCK_MONOTONIC, ns), and never decides anything about the verdict.
"""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from lameduck.core.plan import TrafficPlan
from lameduck.core.recording import Recording
from lameduck.core.run import ClusterFacts
from lameduck.core.timeline import Observation

__all__ = [
    "Attributing",
    "Cluster",
    "ClusterFacts",
    "Dialer",
    "Entrance",
    "Holding",
    "Load",
    "Loading",
    "Observer",
    "PodView",
    "Route",
]

Observer = Callable[[Observation], None]


@dataclass(frozen=True, slots=True)
class Route:
    """Where one new connection goes: an unconnected, non-blocking socket and the address to connect it to.

    ``pod`` is the pod that was chosen ("" if the dialer cannot know). ``socket`` is None where there is no usable
    endpoint and the packet would be rejected: the engine books that as refused, and no pod is to blame.
    """

    socket: socket.socket | None
    address: tuple[str, int]
    pod: str = ""


class Dialer(Protocol):
    """Decides, for each new connection, where it goes. Called on the event loop: it must not block."""

    def dial(self) -> Route:
        """The route of the next connection."""
        ...


@runtime_checkable
class Attributing(Protocol):
    """A dialer that learns only afterwards which pod each connection was routed to."""

    def attribute(self, recording: Recording) -> None:
        """Fill in ``routed_to``, called once after the load has ended."""
        ...


@runtime_checkable
class Holding(Protocol):
    """A dialer of a hop, which keeps connections to the pods that are not the engine's."""

    def kept_open(self, pod: str) -> int | None:
        """How many connections the hop holds to a pod now; None where it does not say."""
        ...


@runtime_checkable
class Entrance(Protocol):
    """A cluster whose Service somebody else's load enters through us, so that we see who came and where they went."""

    def entered(self) -> int | None:
        """How many connections have come in so far; None where they do not pass here."""
        ...

    def attribute_foreign(self, recording: Recording) -> None:
        """Fill in ``routed_to`` of failed exchanges that were not our own, where what passed leaves no doubt."""
        ...


class Load(Protocol):
    """What sends a plan's traffic: an engine in this process, or agents elsewhere."""

    recording: Recording
    """Whole once `run` has returned; until then it may hold less than was sent."""

    @property
    def stalls(self) -> Sequence[tuple[int, int]]:
        """When it could not send through its own fault: (start, length) in ns."""
        ...

    def counts(self) -> tuple[int, int]:
        """How many requests were sent so far, and how many failed, as far as is known."""
        ...

    def open_connections(self) -> Counter[str] | None:
        """Kept-alive connections that are open now, by pod; "" for those whose pod is not known. None: not known."""
        ...

    async def run(self, *, bounded: bool = True) -> None:
        """Send until `stop` (or, if bounded, the plan's end), then wait for what is in flight."""
        ...

    def stop(self) -> None:
        """No request becomes due any more; safe to call at any time."""
        ...


@runtime_checkable
class Loading(Protocol):
    """A cluster that brings its own load, from inside."""

    def load(self, plan: TrafficPlan, secrets: Mapping[str, str]) -> Load | None:
        """What sends the plan's traffic, None for an engine in this process. Called once, after `Cluster.start`."""
        ...

    def facts_of_load(self) -> Mapping[str, Any]:
        """What became known of the load by its end, for `ClusterFacts.details`."""
        ...


@dataclass(frozen=True, slots=True)
class PodView:
    """A pod as the live view shows it."""

    name: str
    stage: str
    """One of: starting, not ready, ready, terminating, stopping (after the stop signal), exited, gone."""
    since: int
    detail: str = ""


class Cluster(Protocol):
    """A workload behind a Service that can be disrupted and watched."""

    async def start(self) -> ClusterFacts:
        """Bring the workload up (or check that it is): returns when every replica is ready.

        Raises `UsageError` or `EnvironmentFault` when it cannot be.
        """
        ...

    def dialer(self) -> Dialer:
        """How the engine reaches the Service."""
        ...

    def pods(self) -> tuple[PodView, ...]:
        """The pods as they are now, oldest first."""
        ...

    async def disrupt(self, number: int) -> bool:
        """Do the planned disruption once and wait for its end: every old pod gone, every replacement ready.

        Observed as DISRUPTION_REQUESTED, then DISRUPTION_COMPLETED, or DISRUPTION_FAILED and False when it did not
        finish within its deadline. The subject is the number.
        """
        ...

    async def stop(self) -> None:
        """Leave nothing behind. Safe to call at any time, also twice."""
        ...
