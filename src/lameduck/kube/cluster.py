"""The Cluster port over Kubernetes: the user's own workload, watched through the API and disrupted through it.

Law: nothing is touched before preflight has passed; every change that must be undone is in the ledger first; what the
watches tell is passed on in the order in which it came, and where they were blind, that is told too.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import cycle

from lameduck.cluster import ClusterFacts, Dialer, Observer, PodView, Route
from lameduck.core.errors import EnvironmentFault, LameduckError, UsageError
from lameduck.core.instants import SECOND, human, to_seconds
from lameduck.core.plan import Disruption, DisruptionPlan
from lameduck.core.recording import Recording
from lameduck.core.timeline import Event, Milestone, Observation
from lameduck.kube.api import Api, Json
from lameduck.kube.connect import Context
from lameduck.kube.conntrack import Conntrack
from lameduck.kube.disrupting import Disruptor
from lameduck.kube.listeners import Listeners
from lameduck.kube.preflight import Checked, check
from lameduck.kube.restoring import Ledger
from lameduck.kube.sight import SIGNAL_PRECISION, Sight, is_ready
from lameduck.kube.watching import Change, Gap, Seen, Watch
from lameduck.kube.workload import Target

WATCHED = ("pods", "endpointslices", "events")
TICK = 0.05
FIRST_SIGHT = 20.0
"""Seconds that the first lists may take."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be proven, and from where."""

    context: Context
    target: Target
    disruption: DisruptionPlan
    service: str = ""
    port: str = ""
    host: str = ""
    address: tuple[str, int] | None = None
    """Where the load goes: an ingress or load balancer; None for the Service's own address."""
    knock: bool = True
    """Find out by direct connections when pods begin and cease to listen."""


class ServiceDialer:
    """Dials one address; which pods were behind it is filled in afterwards, where the kernel tells."""

    def __init__(
        self, addresses: Sequence[tuple[socket.AddressFamily, tuple[str, int]]], after: Callable[[Recording], None]
    ) -> None:
        self._turn = cycle(addresses)
        self._after = after

    def dial(self) -> Route:
        """A fresh socket; OSError when this machine has none."""
        family, address = next(self._turn)
        return Route(socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC), address)

    def attribute(self, recording: Recording) -> None:
        """See `lameduck.cluster.Attributing`."""
        self._after(recording)


class KubeCluster:
    """A workload on a cluster; implements `lameduck.cluster.Cluster`."""

    def __init__(
        self, wish: Wish, observe: Observer, clock: Callable[[], int] = time.monotonic_ns, ledger: Ledger | None = None
    ) -> None:
        self._wish, self._observe, self._clock = wish, observe, clock
        self._api = Api(wish.context)
        self._ledger = ledger or Ledger()
        self._tasks: list[asyncio.Task[None]] = []
        self._pods: dict[str, Json] = {}
        self._since: dict[str, tuple[str, int]] = {}
        self._names: dict[str, str] = {}
        """Each pod's name by its IP."""
        self._serving: set[str] = set()
        self._changed = asyncio.Event()
        self._checked: Checked | None = None
        self._sight: Sight | None = None
        self._listeners: Listeners | None = None
        self._conntrack: Conntrack | None = None
        self._fault: LameduckError | None = None
        self._stopped = False
        self.left: list[str] = []
        """Commands for what could not be put back."""

    def __repr__(self) -> str:
        return f"<KubeCluster {self._wish.target} {', '.join(f'{v.name} {v.stage}' for v in self.pods())}>"

    # the port

    async def start(self) -> ClusterFacts:
        """Preflight, then eyes open. Raises `UsageError` and `EnvironmentFault`."""
        wish = self._wish
        kind, times = wish.disruption.kind, wish.disruption.times
        checked = self._checked = await check(self._api, wish.target, kind, times, service=wish.service, port=wish.port)
        self._sight = Sight(checked.shape)
        port = checked.shape.port
        if wish.knock and port and wish.address is None and await self._routable(checked):
            self._listeners = Listeners(port, self._observe, self._clock)
        known = False
        if wish.address is None:
            self._conntrack = Conntrack(*self._address(), self._clock)
            known = self._conntrack.start()
        await self._open_eyes(checked)
        return self._facts(checked, known)

    def dialer(self) -> Dialer:
        """Dials the Service's address, or the one that was wished for."""
        return ServiceDialer([(socket.AF_INET, self._wish.address or self._address())], self._attribute)

    def pods(self) -> tuple[PodView, ...]:
        """The pods as they are now, oldest first."""
        return tuple(self._view(each) for each in self._ordered())

    async def disrupt(self, number: int) -> bool:
        """One disruption, waited for to its end; see `Cluster.disrupt`."""
        checked, plan = self._need(), self._wish.disruption
        disruptor = Disruptor(self._api, checked.target, self._ledger)
        self._tell(Event.DISRUPTION_REQUESTED, number, {"kind": plan.kind.value})
        begun = self._clock()
        uids = {str(each["metadata"]["uid"]) for each in self._ordered()}
        try:
            going = await disruptor.do(
                plan.kind, [each for each in self._ordered() if is_ready(each)], checked.replicas
            )
            if plan.kind is Disruption.SCALE:
                fewer = max(1, checked.replicas - 1)
                await self._until(lambda: self._settled(fewer), begun + plan.deadline)
            if plan.kind in {Disruption.SCALE, Disruption.DRAIN}:
                await self._put_back()
            gone = uids if plan.kind is Disruption.ROLLOUT else {self._uid(name) for name in going}
            await self._until(lambda: self._settled(checked.replicas, gone), begun + plan.deadline)
        except TimeoutError:
            why = f"not finished within {human(plan.deadline)}: {self._why_not()}"
            self._tell(Event.DISRUPTION_FAILED, number, {"why": why})
            return False
        self._tell(Event.DISRUPTION_COMPLETED, number, {})
        return True

    async def stop(self) -> None:
        """Put everything back and close. Safe to call at any time, also twice."""
        if self._stopped:
            return
        self._stopped = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._listeners is not None:
            await self._listeners.close()
        if self._conntrack is not None:
            self._conntrack.close()
        await self._put_back()
        await self._api.close()

    # eyes

    async def _open_eyes(self, checked: Checked) -> None:
        namespace = checked.target.namespace
        selectors = {
            "pods": {"selector": checked.selector},
            "endpointslices": {"selector": f"kubernetes.io/service-name={checked.service['metadata']['name']}"},
            "events": {"fields": "involvedObject.kind=Pod"},
        }
        watches = [Watch(self._api, each, namespace, self._take, self._clock, **selectors[each]) for each in WATCHED]
        self._tasks = [asyncio.create_task(self._guarded(watch)) for watch in watches]
        self._tasks.append(asyncio.create_task(self._tick()))
        await self._until(
            lambda: all(each.ready.is_set() for each in watches), self._clock() + int(FIRST_SIGHT * SECOND)
        )
        await self._until(lambda: self._settled(checked.replicas), self._clock() + int(FIRST_SIGHT * SECOND))

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
            if self._sight is not None:
                for each in self._sight.hooks_due(self._clock()):
                    self._pass_on(each)

    def _take(self, told: Seen | Gap) -> None:
        self._changed.set()
        if isinstance(told, Gap):
            detail = {"start": told.start, "relist": told.relist, "resource": told.resource}
            self._observe(Observation(told.end, Event.WATCH_GAP, told.resource, source="watch", detail=detail))
            return
        assert self._sight is not None
        if told.resource == "pods":
            self._keep(told)
        for each in self._sight.take(told):
            self._pass_on(each)

    def _pass_on(self, seen: Observation) -> None:
        if seen.what is Milestone.ENDPOINT_READY:
            self._serving.add(seen.subject)
        elif seen.what in {Milestone.ENDPOINT_NOT_READY, Milestone.GONE}:
            self._serving.discard(seen.subject)
        if seen.what is Milestone.LISTENING and self._listeners is not None and self._knocked(seen.subject):
            return  # the knocking says it more exactly
        self._observe(seen)

    def _knocked(self, pod: str) -> bool:
        """Whether a pod is one that came while we looked."""
        return self._since.get(pod, ("", 0))[0] != "there before"

    def _keep(self, seen: Seen) -> None:
        """Our own picture of the pods, and who is knocked at."""
        meta, ip = seen.object["metadata"], seen.object.get("status", {}).get("podIP", "")
        name = meta["name"]
        if seen.change is Change.DELETED:
            self._pods.pop(name, None)
            if self._listeners is not None:
                self._listeners.forget(name)
            return
        before = self._pods.get(name)
        if name not in self._since:
            self._since[name] = ("there before" if seen.change is Change.LISTED else "new", seen.at)
        self._pods[name] = seen.object
        if ip:
            self._names[ip] = name
        if self._listeners is not None and ip:
            if meta.get("deletionTimestamp"):
                ready = before is not None and is_ready(before)
                self._listeners.closing(name, ip, seen.at - seen.precision - SIGNAL_PRECISION if ready else None)
            elif seen.change is not Change.LISTED:
                self._listeners.opening(name, ip)

    # waiting

    async def _until(self, true: Callable[[], bool], deadline: int) -> None:
        """Until something is true; looked at after every change. Raises `TimeoutError`, and what a watch died of."""
        while not true():
            if self._fault is not None:
                raise self._fault
            self._changed.clear()
            left = deadline - self._clock()
            if left <= 0:
                raise TimeoutError
            try:
                await asyncio.wait_for(self._changed.wait(), min(to_seconds(left), 1.0))
            except TimeoutError:
                continue

    def _settled(self, replicas: int, gone: frozenset[str] | set[str] = frozenset()) -> bool:
        """So many pods, all ready and routed to, and none of those that had to go."""
        pods = self._ordered()
        return (
            len(pods) == replicas
            and all(is_ready(each) and each["metadata"]["name"] in self._serving for each in pods)
            and not any(str(each["metadata"]["uid"]) in gone for each in pods)
        )

    def _why_not(self) -> str:
        for each in self._ordered():
            if is_ready(each):
                continue
            for state in each.get("status", {}).get("containerStatuses") or ():
                waiting = state.get("state", {}).get("waiting")
                if waiting:
                    why = waiting.get("message") or waiting.get("reason", "")
                    return f"{each['metadata']['name']}: {why}"
            return f"{each['metadata']['name']} is {self._view(each).stage}"
        return f"{len(self._pods)} pods are there"

    # the rest

    async def _put_back(self) -> None:
        if self._ledger.debts:
            self.left = await self._ledger.settle(self._api)

    def _need(self) -> Checked:
        assert self._checked is not None
        return self._checked

    def _address(self) -> tuple[str, int]:
        service = self._need().service
        ip = service["spec"].get("clusterIP")
        if ip in {None, "", "None"}:
            raise UsageError(
                f"the Service {service['metadata']['name']} is headless: say where to send with --load-from URL"
            )
        return str(ip), int(self._need().port["port"])

    async def _routable(self, checked: Checked) -> bool:
        """Whether pods can be reached directly from here."""
        listed = await self._api.get("pods", checked.target.namespace, labelSelector=checked.selector)
        for each in listed.get("items", []):
            ip = each.get("status", {}).get("podIP")
            if ip and is_ready(each):
                try:
                    _, writer = await asyncio.wait_for(asyncio.open_connection(ip, checked.shape.port), 1.0)
                except (OSError, TimeoutError):
                    return False
                writer.close()
                return True
        return False

    def _facts(self, checked: Checked, routes_known: bool) -> ClusterFacts:
        wish, service = self._wish, checked.service["metadata"]["name"]
        where = wish.address or self._address()
        notes = list(checked.notes)
        if wish.address is None and not routes_known:
            notes.append("which pod a connection went to is not known here, unless its answer says so (x-served-by)")
        return ClusterFacts(
            kind="kubernetes",
            name=str(checked.target),
            replicas=checked.replicas,
            grace=checked.shape.grace,
            pre_stop=checked.shape.pre_stop,
            pre_stop_delay=checked.shape.delay,
            host=wish.host or f"{service}.{checked.target.namespace}",
            address=f"http://{where[0]}:{where[1]}",
            notes=tuple(notes),
            details={
                **checked.details,
                "context": wish.context.name,
                "namespace": checked.target.namespace,
                "routes_known": routes_known,
                "via": "ingress" if wish.address else "service",
                "listener_probe": self._listeners is not None,
            },
        )

    def _attribute(self, recording: Recording) -> None:
        if self._conntrack is not None:
            self._conntrack.attribute(recording, self._names)

    def _ordered(self) -> list[Json]:
        return sorted(
            self._pods.values(),
            key=lambda each: (each["metadata"].get("creationTimestamp", ""), each["metadata"]["name"]),
        )

    def _uid(self, name: str) -> str:
        pod = self._pods.get(name)
        return str(pod["metadata"]["uid"]) if pod else ""

    def _view(self, pod: Json) -> PodView:
        meta, status = pod["metadata"], pod.get("status", {})
        since = self._since.get(meta["name"], ("", 0))[1]
        if meta.get("deletionTimestamp"):
            over = status.get("phase") in {"Succeeded", "Failed"}
            return PodView(meta["name"], "exited" if over else "terminating", since)
        if is_ready(pod):
            return PodView(meta["name"], "ready", since)
        running = any("running" in each.get("state", {}) for each in status.get("containerStatuses") or ())
        return PodView(meta["name"], "not ready" if running else "starting", since)

    def _tell(self, what: Event, number: int, detail: dict[str, object]) -> None:
        self._observe(Observation(self._clock(), what, str(number), source="kubernetes", detail=detail))


async def reachable(address: tuple[str, int]) -> None:
    """Raises `EnvironmentFault` where nothing can be reached from here."""
    try:
        _, writer = await asyncio.wait_for(asyncio.open_connection(*address), 5.0)
    except (OSError, TimeoutError) as error:
        why = "no answer within 5 s" if isinstance(error, TimeoutError) else (error.strerror or str(error))
        raise EnvironmentFault(f"cannot reach {address[0]}:{address[1]} from here: {why}") from None
    writer.close()
