"""The ports through which a proof touches the world: a cluster to disrupt and watch, a dialer to reach it.

Law: an implementation reports what it sees through the `Observer` it was given, in the order it saw it, with its own
receive clock (CLOCK_MONOTONIC, ns), and never decides anything about the verdict.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from lameduck.core.recording import Recording
from lameduck.core.run import ClusterFacts
from lameduck.core.timeline import Observation

__all__ = ["Attributing", "Cluster", "ClusterFacts", "Dialer", "Holding", "Observer", "PodView", "Route"]

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

    def kept_open(self, pod: str) -> int:
        """How many connections the hop holds to a pod now."""
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
