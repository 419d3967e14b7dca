"""The way that new connections take to a pod, and when it learns that a pod comes or goes.

Law: each kind of way is a *table* of pods that follows the EndpointSlice at its own pace: kube-proxy's and the
ingress's by a runner (`core.endpoints`), a load balancer outside the cluster by its deregistration (`core.targets`).
Whoever routes by a table and whoever predicts with it ask the same functions.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from lameduck.core import endpoints, targets
from lameduck.core.endpoints import Event, InForce, Node
from lameduck.core.instants import MILLISECOND, SECOND
from lameduck.core.lag import FLOOR_BEHIND_A_THROTTLED_HOP, FLOOR_BEHIND_KUBE_PROXY
from lameduck.core.targets import Targets

THROTTLE = 2 * SECOND
"""Traefik's default ``providersThrottleDuration``."""
RELOAD = 25 * MILLISECOND
"""What a reload of the ingress takes: the last request reached a pod 1.97 s after its deletion (median), 2.05 s (p90),
2.17 s (the longest) on a real Traefik, whose throttle is 2 s."""
LONGEST_DEREGISTRATION = 3600 * SECOND
"""AWS allows no longer deregistration delay either."""

Table = Node | Targets


class Kind(StrEnum):
    """What stands between a client and a pod."""

    SERVICE = "service"
    """A node's kube-proxy: packets are sent on, so that a refusal is the pod's own."""
    INGRESS = "ingress"
    """A proxy in the cluster that dials pods itself and answers 502 for one that refuses."""
    SLOW_LB = "slow-lb"
    """A load balancer outside the cluster with pods as its targets."""


@dataclass(frozen=True, slots=True)
class Via:
    """A way, with what it needs to know: `deregistration` (ns) for a slow load balancer, else 0."""

    kind: Kind = Kind.SERVICE
    deregistration: int = 0

    def __str__(self) -> str:
        if self.kind is not Kind.SLOW_LB:
            return self.kind.value
        return f"{self.kind.value}:{self.deregistration / SECOND:g}"

    @property
    def floor(self) -> int:
        """The seconds below which a preStop is never suggested, however short the lag that was met."""
        return FLOOR_BEHIND_A_THROTTLED_HOP if self.kind is Kind.INGRESS else FLOOR_BEHIND_KUBE_PROXY


def told(via: Via) -> str:
    """What a report says of a way that is not the Service's own, "" for that one."""
    match via.kind:
        case Kind.SERVICE:
            return ""
        case Kind.INGRESS:
            return "the traffic went by an ingress on this machine, whose table follows at most every 2 s"
        case Kind.SLOW_LB:
            seconds = f"{via.deregistration / SECOND:g} s"
            return f"the traffic went by a load balancer that goes on sending to a pod for {seconds} after it has left"


def parse(text: str) -> Via:
    """``service``, ``ingress`` or ``slow-lb:SECONDS``. Raises `ValueError` with what is wrong, in words."""
    name, colon, number = text.partition(":")
    if name not in set(Kind):
        raise ValueError(f"is service, ingress or slow-lb:SECONDS, not {text!r}")
    kind = Kind(name)
    if kind is not Kind.SLOW_LB:
        if colon:
            raise ValueError(f"{name} takes no {number!r}")
        return Via(kind)
    try:
        lasts = round(float(number) * SECOND)
    except (ValueError, OverflowError):
        raise ValueError("slow-lb needs the seconds of its deregistration, as in slow-lb:120") from None
    if not 0 < lasts <= LONGEST_DEREGISTRATION:
        raise ValueError(f"a deregistration lasts more than 0 and at most 3600 s, not {number}")
    return Via(kind, lasts)


def table(via: Via, min_sync: int, free: int) -> Table:
    """The way's table before any pod is there; `min_sync` is kube-proxy's (ns), `free` when its runner is free."""
    match via.kind:
        case Kind.SERVICE:
            return Node(min_sync=min_sync, free=free)
        case Kind.INGRESS:
            return Node(min_sync=THROTTLE, sync_cost=RELOAD, last_resort=False, free=free)
        case Kind.SLOW_LB:
            return Targets(via.deregistration)


def pace(via: Via, min_sync: int) -> int:
    """How long (ns) the way may leave a change of the EndpointSlice unheeded, but for what its own work takes."""
    return {Kind.SERVICE: min_sync, Kind.INGRESS: THROTTLE, Kind.SLOW_LB: via.deregistration}[via.kind]


def rest(via: Via, min_sync: int) -> int:
    """How long (ns) to leave a way alone between two disruptions, for each to find its runner free.

    A load balancer outside the cluster has none: it follows every pod by itself.
    """
    return max(SECOND, 0 if via.kind is Kind.SLOW_LB else pace(via, min_sync))


def step(table: Table, event: Event, now: int) -> tuple[Table, tuple[InForce, ...]]:
    """The table after an event, and what comes into force."""
    if isinstance(table, Targets):
        return targets.step(table, event, now)
    return endpoints.step(table, event, now)


def due(table: Table) -> int | None:
    """The instant at which the table wants its next `Tick`, None while nothing is pending."""
    return targets.due(table) if isinstance(table, Targets) else endpoints.due(table)


def in_last_resort(table: Table) -> bool:
    """Whether terminating endpoints are routed to on purpose, for want of ready ones."""
    if isinstance(table, Targets) or not table.last_resort:
        return False
    return bool(table.in_force) and not any(each.ready for each in table.endpoints)
