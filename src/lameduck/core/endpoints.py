"""Which pods a Service may send new connections to, and when a node acts on it.

Decides the EndpointSlice conditions of a pod, kube-proxy's choice among endpoints, and the moments at which a node's
table comes into force. Laws: *ready* = serving and not terminating (``podToEndpoint`` of k8s.io/endpointslice); ready
endpoints are used, and only if there are none, serving and terminating ones (KEP-1669, ``CategorizeEndpoints``); a sync
starts at the first change, covers every change up to its start, is in force at its end, and the next one starts no
sooner than `min_sync` after that end (kube-proxy 1.34's bounded frequency runner, which has no burst).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from lameduck.core.instants import MILLISECOND, SECOND


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One pod's entry in the Service's EndpointSlice."""

    pod: str
    ready: bool
    serving: bool
    terminating: bool


def conditions(pod: str, *, ready: bool, terminating: bool, publish_not_ready: bool = False) -> Endpoint:
    """The EndpointSlice entry of a pod whose condition Ready is `ready`.

    With ``publishNotReadyAddresses`` an endpoint counts as ready until the pod is gone, terminating or not.
    """
    return Endpoint(pod, publish_not_ready or (ready and not terminating), ready, terminating)


def usable(endpoints: tuple[Endpoint, ...], *, last_resort: bool = True) -> tuple[str, ...]:
    """The pods that get new connections: ready ones, else those that still serve while terminating (KEP-1669).

    That `last_resort` is kube-proxy's: Traefik, for one, never picks a terminating endpoint (it is *fenced*).
    """
    ready = tuple(e.pod for e in endpoints if e.ready)
    if ready or not last_resort:
        return ready
    return tuple(e.pod for e in endpoints if e.serving and e.terminating)


@dataclass(frozen=True, slots=True)
class Published:
    """The EndpointSlice has a new or changed entry."""

    endpoint: Endpoint


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """The EndpointSlice has lost a pod's entry."""

    pod: str


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed; nothing else happened."""


@dataclass(frozen=True, slots=True)
class InForce:
    """From now on new connections go to these pods, and to no others (none: they are rejected)."""

    pods: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Sync:
    """A sync under way: what it installs, and when it is done (instant)."""

    pods: tuple[str, ...]
    end: int


@dataclass(frozen=True, slots=True)
class Node:
    """A node's kube-proxy (or an ingress with a throttle): the slice as it knows it, the table in force, its runner.

    `free` is the instant from which the next sync may start; `dirty` that of the oldest change no sync has covered.
    """

    min_sync: int = 1 * SECOND
    sync_cost: int = 35 * MILLISECOND
    wake: int = 2 * MILLISECOND
    """From a change to the start of its sync, when the runner is free."""
    last_resort: bool = True
    """Use terminating endpoints where none is ready."""
    free: int = 0
    endpoints: tuple[Endpoint, ...] = ()
    in_force: tuple[str, ...] = ()
    dirty: int | None = None
    sync: Sync | None = None


Event = Published | Withdrawn | Tick


def due(node: Node) -> int | None:
    """The instant at which the node wants its next `Tick`, None while nothing is pending."""
    if node.sync is not None:
        return node.sync.end
    return None if node.dirty is None else max(node.dirty + node.wake, node.free)


def step(node: Node, event: Event, now: int) -> tuple[Node, tuple[InForce, ...]]:
    """What the node knows and does after an event. A change of the slice that changes nothing starts no sync.

    For kube-proxy a new address is a change though it is not ready (``EndpointSliceUpdate``), so that the sync it
    starts may begin before it is; Traefik compares the configurations that come of it (``provider.go``, ``confHash``).
    """
    node, effects = _run(node, now)
    known = _apply(node.endpoints, event)
    if _heeded(node, known) != _heeded(node, node.endpoints):
        node = replace(node, dirty=now if node.dirty is None else node.dirty)
    node, more = _run(replace(node, endpoints=known), now)
    return node, effects + more


def _heeded(node: Node, known: tuple[Endpoint, ...]) -> tuple[Endpoint, ...] | tuple[str, ...]:
    return known if node.last_resort else usable(known, last_resort=False)


def _apply(endpoints: tuple[Endpoint, ...], event: Event) -> tuple[Endpoint, ...]:
    match event:
        case Published(endpoint) if any(e.pod == endpoint.pod for e in endpoints):
            return tuple(endpoint if e.pod == endpoint.pod else e for e in endpoints)
        case Published(endpoint):
            return (*endpoints, endpoint)
        case Withdrawn(pod):
            return tuple(e for e in endpoints if e.pod != pod)
        case Tick():
            return endpoints


def _run(node: Node, now: int) -> tuple[Node, tuple[InForce, ...]]:
    """Start and finish the syncs whose time has come."""
    effects: tuple[InForce, ...] = ()
    while (at := due(node)) is not None and at <= now:
        if node.sync is None:
            node = replace(
                node, dirty=None, sync=Sync(usable(node.endpoints, last_resort=node.last_resort), at + node.sync_cost)
            )
        else:
            pods = node.sync.pods
            node = replace(node, sync=None, free=at + node.min_sync, in_force=pods)
            effects += (InForce(pods),)
    return node, effects
