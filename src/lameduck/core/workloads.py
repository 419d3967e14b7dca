"""The controllers of workloads behind one door: a Deployment (a DaemonSet on one node is one) or a StatefulSet."""

from __future__ import annotations

from lameduck.core import ordered, rolling
from lameduck.core.ordered import StatefulSet
from lameduck.core.rolling import Deployment, Effect, Event

Workload = Deployment | StatefulSet


def due(state: Workload) -> int | None:
    """The instant at which the controller wants its next `Tick`, if nothing happens before; None if never."""
    return ordered.due(state) if isinstance(state, StatefulSet) else rolling.due(state)


def step(state: Workload, event: Event, now: int) -> tuple[Workload, tuple[Effect, ...]]:
    """The workload after an event, and the pods to create and delete, in order."""
    return ordered.step(state, event, now) if isinstance(state, StatefulSet) else rolling.step(state, event, now)
