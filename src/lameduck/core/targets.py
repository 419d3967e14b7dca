"""A load balancer outside the cluster: when a pod becomes a target of its group, and how long it stays one.

Law: a pod is a target from the moment at which its endpoint is ready. When it no longer is, its *deregistration*
begins, and new connections go on to it until that is over, whether it still lives or not: the balancer learns of the
pod's end from nobody (kubernetes-sigs/aws-load-balancer-controller 2366: new connections up to 2 minutes later). A pod
that is ready again before that stays. Its health checks are not modelled: no rule of theirs is common to all.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from lameduck.core.endpoints import Event, InForce, Published, Tick, Withdrawn


@dataclass(frozen=True, slots=True)
class Targets:
    """A target group. `leaving` has each target under deregistration, with the instant at which that is over."""

    deregistration: int
    """How long it takes (ns)."""
    in_force: tuple[str, ...] = ()
    leaving: tuple[tuple[str, int], ...] = ()


def due(group: Targets) -> int | None:
    """The instant at which the group wants its next `Tick`, None while no deregistration is under way."""
    return min((at for _, at in group.leaving), default=None)


def step(group: Targets, event: Event, now: int) -> tuple[Targets, tuple[InForce, ...]]:
    """The group after a change of the EndpointSlice, or after time has passed."""
    before = group.in_force
    group = _settle(_apply(_settle(group, now), event, now), now)
    return group, () if group.in_force == before else (InForce(group.in_force),)


def _apply(group: Targets, event: Event, now: int) -> Targets:
    match event:
        case Published(endpoint) if endpoint.ready:
            leaving = tuple(entry for entry in group.leaving if entry[0] != endpoint.pod)
            known = endpoint.pod in group.in_force
            return replace(group, leaving=leaving, in_force=group.in_force + (() if known else (endpoint.pod,)))
        case Published(endpoint):
            return _leave(group, endpoint.pod, now)
        case Withdrawn(pod):
            return _leave(group, pod, now)
        case Tick():
            return group


def _leave(group: Targets, pod: str, now: int) -> Targets:
    if pod not in group.in_force or any(pod == known for known, _ in group.leaving):
        return group
    return replace(group, leaving=(*group.leaving, (pod, now + group.deregistration)))


def _settle(group: Targets, now: int) -> Targets:
    """Drop the targets whose deregistration is over."""
    over = {pod for pod, at in group.leaving if at <= now}
    if not over:
        return group
    return replace(
        group,
        leaving=tuple(entry for entry in group.leaving if entry[0] not in over),
        in_force=tuple(pod for pod in group.in_force if pod not in over),
    )
