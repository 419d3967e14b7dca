"""The Cluster port over this machine: a workload of real processes behind a simulated Service.

`core.workloads` decides which pods there are, `kubelet` leads each one's life, `node` routes to them. This file carries
events between the three, with the control plane's own delays, and turns what goes wrong into words.
"""

from __future__ import annotations

import asyncio
import random
import sys
import time
from collections.abc import Callable

from lameduck.cluster import ClusterFacts, Dialer, Observer, PodView
from lameduck.core import endpoints, path, podworker, resolving, rolling, workloads
from lameduck.core import pod as life
from lameduck.core.errors import EnvironmentFault, LameduckError, UsageError
from lameduck.core.instants import MILLISECOND, SECOND, human
from lameduck.core.ordered import StatefulSet
from lameduck.core.recording import Recording
from lameduck.core.timeline import Event, Observation
from lameduck.local import passages
from lameduck.local.disrupting import Disruptor
from lameduck.local.doorway import Doorway
from lameduck.local.hop import Hop
from lameduck.local.kubelet import KubeletPod
from lameduck.local.node import NodeTable
from lameduck.local.podmaking import PodMaker
from lameduck.local.ports import PortChoice, elsewhere
from lameduck.local.resolved import ResolvedOnce
from lameduck.local.spec import DEFAULT_PORT, LocalSpec, pick, spoken

_LINGER = 5 * SECOND
"""A dead pod's address stays as long as a connection attempt to it may: then its holder goes."""

_ELSEWHERE = 10 * SECOND
"""So long may a ready pod listen on other ports than the Service's alone: some open theirs one after the other."""


class LocalCluster:
    """A bare command or a manifest's workload on this machine; implements `lameduck.cluster.Cluster`.

    `observe` is called on the event loop with every milestone; `clock` gives CLOCK_MONOTONIC nanoseconds.
    """

    def __init__(self, spec: LocalSpec, observe: Observer, clock: Callable[[], int] = time.monotonic_ns) -> None:
        self._spec = spec
        self._observe = observe
        self._clock = clock
        self._rng = random.Random(spec.seed)
        self._pods: dict[str, KubeletPod] = {}
        self._dead: dict[str, KubeletPod] = {}
        self._workload = workload_of(spec)
        self._wait: asyncio.Future[bool] | None = None
        self._handles: set[asyncio.TimerHandle] = set()
        self._tick: asyncio.TimerHandle | None = None
        said = spec.env.get("PORT", "")
        self._ports = PortChoice(spec.port, int(said) if said.isdigit() else DEFAULT_PORT)
        self._maker = PodMaker(spec, self._ports)
        self._doorway: Doorway | None = None
        self._hop = Hop(self._backend, self._hop_lost) if spec.via.kind is path.Kind.INGRESS else None
        self._started = False
        self._stopped = False
        self._relist, self._second = (clock() + self._rng.randrange(SECOND) for _ in range(2))
        self._pace = path.pace(spec.via, spec.min_sync)
        free = clock() + self._rng.randrange(max(1, self._pace))
        named = spec.headless and spec.via.kind is path.Kind.SERVICE
        state = resolving.names() if named else path.table(spec.via, spec.min_sync, free)
        self._once = named and spec.resolve == "once"
        self._node = NodeTable(state, self._backend, observe, clock, self._rng.randrange(1 << 30))

    def __repr__(self) -> str:
        return f"<LocalCluster {', '.join(f'{v.name} {v.stage}' for v in self.pods())}>"

    # the port

    async def start(self) -> ClusterFacts:
        """Start all replicas and wait until they are ready and routed to.

        Raises `UsageError` for a command that cannot work so, `EnvironmentFault` where this machine is in the way.
        """
        self._spec.check()
        if sys.platform != "linux":
            raise EnvironmentFault("pods on this machine need Linux: run lameduck in a container or a virtual machine")
        await self._maker.start()
        deadline = asyncio.get_running_loop().call_later(self._spec.start_deadline / 1e9, self._too_late)
        try:
            await self.until_done(rolling.Roll())
            await self._until_served()
        finally:
            deadline.cancel()
        self._started = True
        if self._hop is not None:
            await self._open_hop(self._hop)
        else:
            self._doorway = await Doorway.open(self._node, self._spec.service_port, self._clock)
        return self._facts()

    def dialer(self) -> Dialer:
        """Goes by the table, connection by connection; or to the ingress, which does so request by request."""
        if self._once:
            return ResolvedOnce(self._node.backends, self._rng.randrange(1 << 30))
        return self._hop or self._node

    def pods(self) -> tuple[PodView, ...]:
        """The pods as they are now, oldest first."""
        return tuple(pod.view() for pod in self._pods.values())

    def entered(self) -> int | None:
        """See `lameduck.cluster.Entrance`."""
        return len(self._doorway.passages) if self._doorway else None

    def attribute_foreign(self, recording: Recording) -> None:
        """See `lameduck.cluster.Entrance`."""
        if self._doorway is not None:
            passages.attribute(recording, self._doorway.passages)

    async def disrupt(self, number: int) -> bool:
        """What the spec asks for, once."""
        if self._spec.let_age:
            await self._let_age()
        self._tell(Event.DISRUPTION_REQUESTED, number, {"kind": self._spec.disruption.value})
        why = await Disruptor(self, self._spec).do(number)
        if why:
            self._tell(Event.DISRUPTION_FAILED, number, {"why": why})
        else:
            self._tell(Event.DISRUPTION_COMPLETED, number, {})
        return not why

    async def _let_age(self) -> None:
        """What a young pod's worker still has to do is done at four relists; one that never rests is not waited for."""
        for _ in range(4):
            now = self._clock()
            free = max((podworker.free(pod.pod.worker, now) for pod in self._pods.values()), default=now)
            await asyncio.sleep((free - now) / SECOND)

    async def stop(self) -> None:
        """End every pod at once and leave nothing behind."""
        if self._stopped:
            return
        self._stopped = True
        for handle in self._handles:
            handle.cancel()
        if self._tick is not None:
            self._tick.cancel()
        self._node.stop()
        if self._doorway is not None:
            await self._doorway.close()
        if self._hop is not None:
            await self._hop.stop()
        for pod in [*self._pods.values(), *self._dead.values()]:
            pod.close()
        await self._maker.stop()

    # what the pods tell (`kubelet.Control`)

    def endpoint(self, pod: KubeletPod, endpoint: life.Publish | life.Withdraw) -> None:
        """The EndpointSlice changes."""
        match endpoint:
            case life.Publish(entry):
                self._node.feed(endpoints.Published(entry))
            case life.Withdraw():
                self._node.feed(endpoints.Withdrawn(pod.name))

    def condition(self, pod: KubeletPod, ready: bool) -> None:
        """The Deployment controller will see it."""
        self._control(rolling.ReadyChanged(pod.name, ready))

    def running(self, pod: KubeletPod) -> None:
        """The Deployment controller will see it."""
        self._control(rolling.Running(pod.name))

    def gone(self, pod: KubeletPod) -> None:
        """The object is gone; its address lingers."""
        self._dead[pod.name] = self._pods.pop(pod.name)
        if not self._once:  # whoever resolved the name once goes on dialling it
            self._later(_LINGER + self._pace, lambda: self._bury(pod.name))
        self._control(rolling.Gone(pod.name))

    def _bury(self, name: str) -> None:
        if self._hop is not None:
            self._hop.forget(name)
        self._dead.pop(name).close()
        self._maker.discard(name)

    def heard(self, pod: KubeletPod) -> None:
        """Somebody listens: it may settle which port is the container's."""
        chosen = self._ports.chosen
        problem = self._ports.heard(pod.listeners, self._clock())
        if problem and not self._started:
            self._fail(UsageError(problem))
        if self._ports.chosen != chosen:
            for other in self._pods.values():
                other.look(self._clock())
        if self._look_served in self._node.on_change:
            self._look_served()

    def crashed(self, pod: KubeletPod, why: str) -> None:
        """Before everything is up this ends the start; later the pod is started again."""
        if not self._started:
            self._fail(EnvironmentFault(f"{pod.name}: {why} before it was ready.{_quoted(pod.tail())}"))

    def fault(self, pod: KubeletPod, why: str) -> None:
        """A holder is not expected to end: the proof cannot go on."""
        if not self._stopped:
            self._fail(EnvironmentFault(f"{pod.name}: {why}"))

    def port(self, pod: KubeletPod) -> int:
        """The container's port; each pod has its own where they share a network."""
        return self._ports.of(pod.name, pod.listeners, self._clock())

    @property
    def port_hint(self) -> str:
        """Where pods share a network the command must take the port that it is given."""
        return ": let the command use $PORT or {port}" if self._ports.shared else ""

    # what a disruption does

    async def until_done(self, event: rolling.Event) -> str:
        """Tell the workload's controller, and wait until everything is as it wants it: "", or why it got no further."""
        self._wait = asyncio.get_running_loop().create_future()
        self._reconcile(event)
        try:
            if await self._wait:
                return ""
        finally:
            self._wait = None
        return f"no progress within {human(self._spec.strategy().progress_deadline)}: {self._why_not_ready()}"

    def ready_pods(self) -> tuple[KubeletPod, ...]:
        """The ready pods that nobody has told to go, oldest first."""
        return tuple(pod for pod in self._pods.values() if pod.pod.ready and pod.pod.deleted is None)

    def delete(self, pod: KubeletPod, grace: int | None = None) -> None:
        """Somebody deletes a pod, with its own grace period or another one (ns)."""
        pod.feed(life.Deleted(grace))
        self._reconcile(rolling.Deleted(pod.name))

    # the workload's controller

    def _control(self, event: rolling.Event) -> None:
        """The controller sees an event a little later."""
        self._later(pick(self._rng, self._spec.timings.controller), lambda: self._reconcile(event))

    def _reconcile(self, event: rolling.Event) -> None:
        self._workload, effects = workloads.step(self._workload, event, self._clock())
        for effect in effects:
            match effect:
                case rolling.Create(name, revision):
                    self._create(name, revision)
                case rolling.Delete(name) if name in self._pods:  # else it could not be started
                    self._pods[name].feed(life.Deleted())
                case rolling.Completed():
                    self._done(True)
                case rolling.Stuck():
                    self._done(False)
        if self._tick is not None:
            self._tick.cancel()
            self._tick = None
        at = workloads.due(self._workload)
        if at is not None:
            delay = max(0, at - self._clock()) / 1e9
            self._tick = asyncio.get_running_loop().call_later(delay, self._reconcile, rolling.Tick())

    def _create(self, name: str, revision: int) -> None:
        delays = self._spec.timings.draw(self._rng, self._relist, self._second)
        try:
            self._pods[name] = self._maker.make(name, revision, delays, self, self._observe, self._clock)
        except OSError as error:
            self._fail(EnvironmentFault(f"{name} cannot be started: {error.strerror or error}: see ulimit -a"))
            return
        self._pods[name].feed(life.Created())

    # waiting, and why it was in vain

    async def _until_served(self) -> None:
        """Every replica is routed to, a sync or two after it became ready, and somebody listens in it.

        Without a readiness probe a pod counts as ready before anybody listens; that is what rollouts are to show, not
        what they begin with.
        """
        self._wait = asyncio.get_running_loop().create_future()
        self._node.on_change.append(self._look_served)
        self._look_served()
        patience = asyncio.get_running_loop().call_later(_ELSEWHERE / SECOND, self._look_elsewhere)
        try:
            await self._wait
        finally:
            patience.cancel()
            self._wait = None
            self._node.on_change.remove(self._look_served)

    def _look_served(self) -> None:
        listening = all(pod.reaches(self.port(pod)) for pod in self._pods.values())
        if len(self._node.pods) >= self._spec.replicas and listening and not self._started:
            self._done(True)

    def _look_elsewhere(self) -> None:
        """Waiting helps no pod that is ready and serves, but not where the Service sends."""
        pods = tuple(self._pods.values())
        why = elsewhere([(self.port(pod), pod.listeners) for pod in pods]) if all(pod.pod.ready for pod in pods) else ""
        if why:
            self._fail(UsageError(why))

    def _hop_lost(self) -> None:
        if not self._stopped:
            self._fail(EnvironmentFault("the ingress of this machine ended: please report it"))

    async def _open_hop(self, hop: Hop) -> None:
        await hop.start()
        hop.route(self._node.backends)
        self._node.on_change.append(lambda: hop.route(self._node.backends))

    def _done(self, result: bool) -> None:
        if self._wait is not None and not self._wait.done():
            self._wait.set_result(result)

    def _fail(self, error: LameduckError) -> None:
        if self._wait is not None and not self._wait.done():
            self._wait.set_exception(error)

    def _too_late(self) -> None:
        self._look_elsewhere()
        within = human(self._spec.start_deadline)
        self._fail(EnvironmentFault(f"the pods were not ready within {within}: {self._why_not_ready()}"))

    def _why_not_ready(self) -> str:
        for pod in self._pods.values():
            if life.stage(pod.pod) in {"starting", "not ready"} or not pod.reaches(self.port(pod)):
                return f"{pod.name}: {pod.why_not_ready()}.{_quoted(pod.tail())}"
        waiting = ", ".join(f"{v.name} is {v.stage}" for v in self.pods() if v.stage != "ready")
        return waiting or "its pods did not stay ready"

    # the rest

    def _backend(self, name: str) -> KubeletPod | None:
        return self._pods.get(name) or self._dead.get(name)

    def _tell(self, what: Event, number: int, detail: dict[str, object]) -> None:
        self._observe(Observation(self._clock(), what, str(number), source="local", detail=detail))

    def _later(self, delay: int, call: Callable[[], None]) -> None:
        def due() -> None:
            self._handles.discard(handle)
            call()

        handle = asyncio.get_running_loop().call_later(delay / 1e9, due)
        self._handles.add(handle)

    def _facts(self) -> ClusterFacts:
        spec, template = self._spec, self._spec.pod()
        server = template.server
        hook, probe = server.pre_stop, server.readiness
        command = spec.process(spec.serving).command
        kind = "grpc" if probe and probe.scheme == "grpc" else "httpGet" if probe and probe.path else ""
        said = f"{kind} {probe.path}".strip() if probe and kind else "exec" if probe and probe.command else "tcpSocket"
        return ClusterFacts(
            kind="local",
            name=spec.name if spec.containers else spoken(command),
            replicas=spec.replicas,
            grace=spec.grace,
            pre_stop=str(hook) if hook else "",
            pre_stop_delay=hook.seconds * SECOND if hook and hook.kind is life.HookKind.SLEEP else 0,
            address=self._hop.address if self._hop else self._doorway.address if self._doorway else "",
            notes=(*self._maker.notes, *filter(None, [path.told(spec.via), _noticed(spec)]), *spec.ignored),
            details={
                "command": list(command),
                "isolation": str(self._maker.isolation),
                "port": self._ports.chosen,
                "readiness": said if probe else "none",
                "strategy": _strategy(spec),
                "containers": [one.name for one in template.containers],
                "max_surge": spec.max_surge,
                "max_unavailable": spec.max_unavailable,
                "min_ready_seconds": spec.min_ready_seconds,
                "min_sync_ms": spec.min_sync // MILLISECOND,
                "via": str(spec.via),
                **({"resolve": spec.resolve} if spec.headless else {}),
                **({"publish_not_ready": True} if spec.publish_not_ready else {}),
                "nice": spec.nice,
                "seed": spec.seed,
            },
        )


def workload_of(spec: LocalSpec) -> workloads.Workload:
    """The controller's state before anything exists."""
    if spec.kind == "StatefulSet":
        return StatefulSet(spec.name, spec.replicas, spec.strategy(), spec.parallel, spec.partition)
    return rolling.Deployment(spec.name, spec.replicas, spec.strategy(), spec.seed)


def _strategy(spec: LocalSpec) -> str:
    if spec.kind != "Deployment":
        return spec.kind
    return "Recreate" if spec.recreate else "RollingUpdate"


def _noticed(spec: LocalSpec) -> str:
    if spec.notice is None:
        return ""
    return f"every pod was deleted as by a node that goes away in {human(spec.notice)}: that was its grace period"


def _quoted(tail: str) -> str:
    return f" Its last words:\n{tail}" if tail else " It printed nothing."
