"""The table of pods that new connections go by, and the dialler that goes by it.

The decisions are `core.path`; here are the timer, the random choice among endpoints (as kube-proxy's rules make it
for each new connection) and the observation of every table that comes into force.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Protocol

from lameduck.cluster import Observer, Route
from lameduck.core import endpoints, path
from lameduck.core.timeline import Event, Observation
from lameduck.local.pool import SocketPool
from lameduck.local.timer import Timer


class Backend(Protocol):
    """A pod as a dialler needs it."""

    @property
    def name(self) -> str:
        """The pod's name."""
        ...

    @property
    def pool(self) -> SocketPool:
        """Sockets born in its network."""
        ...

    @property
    def address(self) -> tuple[str, int]:
        """Its IP and port."""
        ...


class NodeTable:
    """The table in force, and a `lameduck.cluster.Dialer`. `backend` finds a pod by name."""

    def __init__(
        self,
        state: path.Table,
        backend: Callable[[str], Backend | None],
        observe: Observer,
        clock: Callable[[], int],
        seed: int,
    ) -> None:
        self._state = state
        self._backend = backend
        self._observe = observe
        self._clock = clock
        self._choice = random.Random(seed)  # of its own: the load's pace must not change the pods' delays
        self._timer = Timer(clock, lambda: self.feed(endpoints.Tick()))
        self._table: tuple[Backend, ...] = ()
        self._fallback = False
        self.on_change: list[Callable[[], None]] = []
        """Called after a table came into force."""

    def __repr__(self) -> str:
        return f"<NodeTable {', '.join(self.pods) or 'rejects'}>"

    @property
    def pods(self) -> tuple[str, ...]:
        """The pods that get new connections now."""
        return tuple(backend.name for backend in self._table)

    @property
    def backends(self) -> tuple[Backend, ...]:
        """The same, as they can be dialled."""
        return self._table

    def feed(self, event: endpoints.Event) -> None:
        """The EndpointSlice changed, or time has passed."""
        self._state, effects = path.step(self._state, event, self._clock())
        for effect in effects:
            found = (self._backend(pod) for pod in effect.pods)
            before = self._table, self._fallback
            self._table = tuple(backend for backend in found if backend is not None)
            self._fallback = path.in_last_resort(self._state)
            if before != (self._table, self._fallback):
                detail = {"pods": self.pods, "fallback": self._fallback}
                self._observe(Observation(self._clock(), Event.ROUTES_CHANGED, "node", source="local", detail=detail))
        self._timer.set(path.due(self._state))
        if effects:
            for call in list(self.on_change):
                call()

    def dial(self) -> Route:
        """The route of the next connection: any endpoint of the table in force, or none if it is empty."""
        table = self._table
        if not table:
            return Route(None, ("", 0))
        backend = table[int(self._choice.random() * len(table))]
        return Route(backend.pool.take(), backend.address, backend.name)

    def stop(self) -> None:
        """No more changes."""
        self._timer.cancel()
        self._table = ()
