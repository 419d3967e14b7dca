"""What is seen of a workload while it is proven: its watches, and our own picture of its pods.

Law: what the watches tell is passed on in the order in which it came; where they were blind, that is told too. The
picture is only what was told, and whoever waits for something is woken by every change of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from lameduck.cluster import Observer, PodView
from lameduck.core.errors import LameduckError
from lameduck.core.instants import SECOND, to_seconds
from lameduck.core.timeline import Event, Milestone, Observation
from lameduck.kube.api import Api, Json
from lameduck.kube.preflight import Checked
from lameduck.kube.sight import SIGNAL_PRECISION, Sight, is_ready
from lameduck.kube.watching import Change, Gap, Seen, Watch

TICK = 0.05
"""Seconds between two looks at what time alone brings."""
FIRST_SIGHT = 20.0
"""Seconds that the first lists may take."""


class Knocker(Protocol):
    """Finds out by direct connections when a pod's port opens and closes. Pods are named as observations name them."""

    def opening(self, pod: str, ip: str) -> None:
        """Find out when it first accepts."""
        ...

    def closing(self, pod: str, ip: str, listened_at: int | None) -> None:
        """Find out when it last accepts; ``listened_at`` is when it surely did, None if that is not known (ns)."""
        ...

    def forget(self, pod: str) -> None:
        """It is gone."""
        ...


class Eyes:
    """Watches one workload from `open` to `close`. `workload` is the object as it was last seen."""

    def __init__(
        self,
        api: Api,
        checked: Checked,
        observe: Observer,
        clock: Callable[[], int],
        *,
        knocker: Knocker | None = None,
        follow: Callable[[Json, str], None] | None = None,
        pid1: Mapping[str, object] | None = None,
    ) -> None:
        self._api, self._checked, self._observe, self._clock = api, checked, observe, clock
        self._knocker = knocker
        self._follow = follow
        """Called with a pod and its subject once its container runs: its log can be read."""
        self._sight = Sight(checked.shape, pid1)
        self._pods: dict[str, Json] = {}
        self._since: dict[str, int] = {}
        self._old: set[str] = set()
        """Subjects that were there before we came."""
        self._serving: set[str] = set()
        self._changed = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._fault: LameduckError | None = None
        self.workload = checked.workload
        self.names: dict[str, str] = {}
        """Each pod's subject by its IP."""

    async def open(self) -> None:
        """Watch; returns when everything has been seen once. Raises what a watch died of, and `TimeoutError`."""
        checked, namespace = self._checked, self._checked.target.namespace
        narrow = {
            "pods": {"selector": checked.selector},
            "endpointslices": {"selector": f"kubernetes.io/service-name={checked.service['metadata']['name']}"},
            "events": {"fields": "involvedObject.kind=Pod"},
            checked.target.resource: {"fields": f"metadata.name={checked.target.name}"},
        }
        watches = [
            Watch(self._api, resource, namespace, self._take, self._clock, **how) for resource, how in narrow.items()
        ]
        self._tasks = [asyncio.create_task(self._guarded(watch)) for watch in watches]
        self._tasks.append(asyncio.create_task(self._tick()))
        deadline = self._clock() + int(FIRST_SIGHT * SECOND)
        await self.until(lambda: all(each.ready.is_set() for each in watches), deadline)

    async def close(self) -> None:
        """No more watching."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # what there is

    def pods(self) -> list[Json]:
        """The pods as they are now, oldest first."""
        return sorted(
            self._pods.values(),
            key=lambda each: (each["metadata"].get("creationTimestamp", ""), each["metadata"]["name"]),
        )

    def uids(self) -> frozenset[str]:
        """The pods that are there now, by what tells them from later ones of the same name."""
        return frozenset(str(each["metadata"]["uid"]) for each in self._pods.values())

    def lives(self) -> dict[str, list[tuple[int, str]]]:
        """Of each name that several pods have had: since when (ns) it is which subject's."""
        names: dict[str, list[tuple[int, str]]] = {}
        for subject, since in self._since.items():
            names.setdefault(subject.partition(" (")[0], []).append((since, subject))
        return {name: sorted(lives) for name, lives in names.items() if len(lives) > 1}

    def leaving(self, uids: Iterable[str]) -> bool:
        """Whether any of these pods is gone or being deleted, or another one has come."""
        known, now = frozenset(uids), self.uids()
        deleted = any(each["metadata"].get("deletionTimestamp") for each in self._pods.values())
        return deleted or now != known

    def settled(self, replicas: int, gone: Iterable[str] = ()) -> bool:
        """So many pods, all ready and routed to, and none of those that had to go."""
        pods, left = self.pods(), frozenset(gone)
        return (
            len(pods) == replicas
            and all(is_ready(each) and self._subject(each) in self._serving for each in pods)
            and not left & self.uids()
        )

    def why_not(self) -> str:
        """What keeps it from being settled, in words."""
        for each in self.pods():
            if is_ready(each):
                continue
            for state in each.get("status", {}).get("containerStatuses") or ():
                waiting = state.get("state", {}).get("waiting")
                if waiting:
                    why = waiting.get("message") or waiting.get("reason", "")
                    return f"{each['metadata']['name']}: {why}"
            return f"{each['metadata']['name']} is {self._view(each).stage}"
        return f"{len(self._pods)} pods are there"

    def views(self) -> tuple[PodView, ...]:
        """The pods for the live view."""
        return tuple(self._view(each) for each in self.pods())

    async def until(self, true: Callable[[], bool], deadline: int) -> None:
        """Until something is true; looked at after every change. Raises `TimeoutError`, and what a watch died of."""
        while not true():
            if self._fault is not None:
                raise self._fault
            self._changed.clear()
            left = deadline - self._clock()
            if left <= 0:
                raise TimeoutError
            try:
                async with asyncio.timeout(min(to_seconds(left), 1.0)):
                    await self._changed.wait()
            except TimeoutError:
                continue

    # what is told

    async def _guarded(self, watch: Watch) -> None:
        try:
            await watch.run()
        except LameduckError as error:
            self._fault = error
            self._changed.set()

    async def _tick(self) -> None:
        """What time alone brings: the end of a hook whose length is known."""
        while True:
            await asyncio.sleep(TICK)
            for each in self._sight.hooks_due(self._clock()):
                self._pass_on(each)

    def _take(self, told: Seen | Gap) -> None:
        self._changed.set()
        if isinstance(told, Gap):
            detail = {"start": told.start, "relist": told.relist, "resource": told.resource}
            self._observe(Observation(told.end, Event.WATCH_GAP, told.resource, source="watch", detail=detail))
            return
        if told.resource == self._checked.target.resource:
            self.workload = told.object
            return
        for each in self._sight.take(told):
            if told.change is Change.LISTED and each.what is Milestone.CREATED:
                self._old.add(each.subject)
            self._pass_on(each)
        if told.resource == "pods":
            self._keep(told)

    def _pass_on(self, seen: Observation) -> None:
        if seen.what is Milestone.ENDPOINT_READY:
            self._serving.add(seen.subject)
        elif seen.what in {Milestone.ENDPOINT_NOT_READY, Milestone.GONE}:
            self._serving.discard(seen.subject)
        if seen.what is Milestone.LISTENING and self._knocker is not None and seen.subject not in self._old:
            return  # the knocking says it more exactly
        self._observe(seen)

    def _keep(self, seen: Seen) -> None:
        """Our own picture of the pods, who is knocked at, and whose log is read."""
        meta, status = seen.object["metadata"], seen.object.get("status", {})
        name, ip, subject = meta["name"], status.get("podIP", ""), self._subject(seen.object)
        if seen.change is Change.DELETED:
            self._pods.pop(name, None)
            if self._knocker is not None:
                self._knocker.forget(subject)
            return
        before = self._pods.get(name)
        self._since.setdefault(subject, seen.at)
        self._pods[name] = seen.object
        if ip:
            self.names[ip] = subject
        if self._knocker is not None and ip:
            if meta.get("deletionTimestamp"):
                ready = before is not None and is_ready(before)
                listened = seen.at - seen.precision - SIGNAL_PRECISION if ready else None
                self._knocker.closing(subject, ip, listened)
            elif subject not in self._old:
                self._knocker.opening(subject, ip)
        if self._follow is not None and any(
            "running" in each.get("state", {}) for each in status.get("containerStatuses") or ()
        ):
            self._follow(seen.object, subject)

    def _subject(self, pod: Json) -> str:
        return self._sight.subject(pod["metadata"]["name"])

    def _view(self, pod: Json) -> PodView:
        meta, status, name = pod["metadata"], pod.get("status", {}), self._subject(pod)
        since = self._since.get(name, 0)
        if meta.get("deletionTimestamp"):
            over = status.get("phase") in {"Succeeded", "Failed"}
            return PodView(name, "exited" if over else "terminating", since)
        if is_ready(pod):
            return PodView(name, "ready", since)
        running = any("running" in each.get("state", {}) for each in status.get("containerStatuses") or ())
        return PodView(name, "not ready" if running else "starting", since)
