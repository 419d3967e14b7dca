"""The kubelet's worker of one pod: when something that was asked for is done.

Law (kubelet ``pod_workers.go`` and ``GetNewerThan`` of its cache; seen on 1.34 at pods deleted 1.6 and 3.1 s after
their creation, whose stop signal came 1.3 s late): a sync needs a relist that is newer than the sync before it. So what
comes again between two relists waits for the next one, and what comes while it waits, a deletion too, for the one after
that. An old pod was last synced long ago: nothing waits.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from lameduck.core.instants import MILLISECOND

RELIST = 1008 * MILLISECOND
"""From one relist of the kubelet to the next: a second from the end of the last one (``wait.Until`` in ``pleg``), which
itself took 8 ms on average (measured in rollouts: 22 pods that followed each other became ready 1.008 s apart). Beside
kube-proxy's second, which counts from the end of a sync of some 30 ms, it decides which removal makes which sync."""


def until_relist(relist: int | None, now: int) -> int:
    """How long (ns) until the next relist, now among them; `relist` is one's instant, None for no rhythm at all."""
    return 0 if relist is None else (relist - now) % RELIST


@dataclass(frozen=True, slots=True)
class Worker:
    """A worker's state. `relist` is an instant of the kubelet's relists, None if they come all the time."""

    relist: int | None
    synced: int | None = None
    """When its last sync was over."""
    waits: int | None = None
    """The relist that a sync waits for."""
    asked: bool = False
    """Something came while it waited: one more sync."""


def synced(worker: Worker, now: int) -> Worker:
    """A sync is over now, one that started containers."""
    return replace(_up_to(worker, now), synced=now)


def woken(worker: Worker, now: int) -> Worker:
    """Something asks for a sync: a container that was noticed, a probe's new answer."""
    worker = _up_to(worker, now)
    if worker.waits is not None:
        return replace(worker, asked=True)
    at = _next(worker, now)
    return replace(worker, synced=at) if at == now else replace(worker, waits=at)


def free(worker: Worker, now: int) -> int:
    """When something else than a sync that was asked for is done: the end of the pod, which nothing goes along with."""
    worker = _up_to(worker, now)
    return _next(worker, now) if worker.waits is None else _after(worker, worker.waits)


def done(worker: Worker, now: int) -> int:
    """When something is done that any sync does, such as the start of a container whose turn has come."""
    worker = _up_to(worker, now)
    return _next(worker, now) if worker.waits is None else worker.waits


def _up_to(worker: Worker, now: int) -> Worker:
    """The worker at an instant: what it waited for may have come."""
    while worker.waits is not None and worker.waits <= now:
        more = _after(worker, worker.waits) if worker.asked else None
        worker = replace(worker, synced=worker.waits, waits=more, asked=False)
    return worker


def _next(worker: Worker, now: int) -> int:
    """When a sync can be: now, if there was a relist since the last one."""
    if worker.relist is None or worker.synced is None:
        return now
    return max(now, _after(worker, worker.synced))


def _after(worker: Worker, synced: int) -> int:
    """The first relist after a sync."""
    return synced if worker.relist is None else synced + 1 + until_relist(worker.relist, synced + 1)
