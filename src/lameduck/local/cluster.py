"""The Cluster port over this machine: a Deployment of real processes behind a simulated Service.

`core.rolling` decides which pods there are, `kubelet` leads each one's life, `node` routes to them. This file carries
events between the three, with the control plane's own delays, and turns what goes wrong into words.
"""

from __future__ import annotations

import asyncio
import os
import random
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

from lameduck.cluster import ClusterFacts, Dialer, Observer, PodView
from lameduck.core import endpoints, path, rolling
from lameduck.core import pod as life
from lameduck.core.errors import EnvironmentFault, LameduckError, UsageError
from lameduck.core.instants import MILLISECOND, SECOND, human
from lameduck.core.timeline import Event, Observation
from lameduck.local import relay
from lameduck.local.doorway import Doorway
from lameduck.local.hop import Hop
from lameduck.local.kubelet import KubeletPod
from lameduck.local.link import Zygote
from lameduck.local.node import NodeTable
from lameduck.local.ports import PortChoice, free_port
from lameduck.local.sandbox import Isolation
from lameduck.local.spec import DEFAULT_PORT, LocalSpec, pick

_LINGER = 5 * SECOND
"""A dead pod's address stays as long as a connection attempt to it may: then its holder goes."""


class LocalCluster:
    """A bare command as a Deployment on this machine; implements `lameduck.cluster.Cluster`.

    `observe` is called on the event loop with every milestone; `clock` gives CLOCK_MONOTONIC nanoseconds.
    """

    def __init__(self, spec: LocalSpec, observe: Observer, clock: Callable[[], int] = time.monotonic_ns) -> None:
        self._spec = spec
        self._observe = observe
        self._clock = clock
        self._rng = random.Random(spec.seed)
        self._zygote = Zygote()
        self._isolation = Isolation(user=False, pid=False, net=False)
        self._notes: list[str] = []
        self._pods: dict[str, KubeletPod] = {}
        self._dead: dict[str, KubeletPod] = {}
        self._deployment = rolling.Deployment("app", spec.replicas, spec.strategy(), spec.seed)
        self._wait: asyncio.Future[bool] | None = None
        self._handles: set[asyncio.TimerHandle] = set()
        self._tick: asyncio.TimerHandle | None = None
        said = spec.env.get("PORT", "")
        self._ports = PortChoice(spec.port, int(said) if said.isdigit() else DEFAULT_PORT)
        self._files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        self._doorway: Doorway | None = None
        self._hop = Hop(self._backend) if spec.via.kind is path.Kind.INGRESS else None
        self._addresses = 0
        self._ways_out: tuple[relay.Reach, ...] = ()
        self._hosts = ""
        self._started = False
        self._stopped = False
        self._pace = path.pace(spec.via, spec.min_sync)
        state = path.table(spec.via, spec.min_sync, free=clock() + self._rng.randrange(max(1, self._pace)))
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
        self._prepare_files()
        await self._zygote.start()
        self._isolation = await self._find_isolation()
        self._ports.shared = not self._isolation.net
        if self._isolation.net:
            self._open_ways_out()
        deadline = asyncio.get_running_loop().call_later(self._spec.start_deadline / 1e9, self._too_late)
        try:
            await self._until_done(rolling.Roll())
        finally:
            deadline.cancel()
        self._started = True
        await self._until_routed()
        if self._hop is not None:
            await self._open_hop(self._hop)
        else:
            self._doorway = await Doorway.open(self._node)
        return self._facts()

    def dialer(self) -> Dialer:
        """Goes by the table, connection by connection; or to the ingress, which does so request by request."""
        return self._hop or self._node

    def pods(self) -> tuple[PodView, ...]:
        """The pods as they are now, oldest first."""
        return tuple(pod.view() for pod in self._pods.values())

    async def disrupt(self, number: int) -> bool:
        """One rolling update to a new revision of the same template."""
        self._tell(Event.DISRUPTION_REQUESTED, number, {"kind": "rollout"})
        done = await self._until_done(rolling.Roll())
        if done:
            self._tell(Event.DISRUPTION_COMPLETED, number, {})
        else:
            why = f"no progress within {human(self._spec.progress_deadline)}: {self._why_not_ready()}"
            self._tell(Event.DISRUPTION_FAILED, number, {"why": why})
        return done

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
        await self._zygote.stop()

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
        self._later(_LINGER + self._pace, lambda: self._bury(pod.name))
        self._control(rolling.Gone(pod.name))

    def _bury(self, name: str) -> None:
        if self._hop is not None:
            self._hop.forget(name)
        self._dead.pop(name).close()

    def heard(self, pod: KubeletPod) -> None:
        """Somebody listens: it may settle which port is the container's."""
        chosen = self._ports.chosen
        problem = self._ports.heard(pod.listeners, self._clock())
        if problem and not self._started:
            self._fail(UsageError(problem))
        if self._ports.chosen != chosen:
            for other in self._pods.values():
                other.look(self._clock())

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

    # the Deployment controller

    def _control(self, event: rolling.Event) -> None:
        """The controller sees an event a little later."""
        self._later(pick(self._rng, self._spec.timings.controller), lambda: self._reconcile(event))

    def _reconcile(self, event: rolling.Event) -> None:
        self._deployment, effects = rolling.step(self._deployment, event, self._clock())
        for effect in effects:
            match effect:
                case rolling.Create(name, revision):
                    self._create(name, revision)
                case rolling.Delete(name):
                    self._pods[name].feed(life.Deleted())
                case rolling.Completed():
                    self._done(True)
                case rolling.Stuck():
                    self._done(False)
        if self._tick is not None:
            self._tick.cancel()
            self._tick = None
        at = rolling.due(self._deployment)
        if at is not None:
            delay = max(0, at - self._clock()) / 1e9
            self._tick = asyncio.get_running_loop().call_later(delay, self._reconcile, rolling.Tick())

    def _create(self, name: str, revision: int) -> None:
        spec = self._spec
        template = spec.pod()
        number = (
            self._deployment.serial if not self._pods else len(self._pods) + len(self._dead) + self._deployment.serial
        )
        address = f"198.18.{number // 250 % 250}.{number % 250 + 2}" if self._isolation.net else "127.0.0.1"
        port = self._ports.assign(name, free_port if not self._isolation.net else None)
        output = spec.run_dir / f"{name}.log"
        holder = self._zygote.holder(
            {
                "name": name,
                "address": address,
                "isolation": list(self._isolation),
                "output": str(output),
                "nice": spec.nice,
                "files": self._files,
                "reach": self._ways_out,
                "hosts": self._hosts,
                "only_port": 0 if self._isolation.net else port,
            }
        )
        environment = {
            "PORT": str(port),
            **{key: value for key, value in spec.env.items() if key != "PORT" or self._isolation.net},
            "POD_NAME": name,
            "HOSTNAME": name,
            "POD_IP": address,
            "LAMEDUCK_REVISION": str(revision),
        }
        command = tuple(word.replace("{port}", str(port)) for word in spec.command)
        pod = life.Pod(name, template, spec.timings.draw(self._rng, template.probe))
        self._pods[name] = KubeletPod(
            pod=pod,
            holder=holder,
            address=address,
            command=command,
            environment=environment,
            output=output,
            control=self,
            observe=self._observe,
            clock=self._clock,
        )
        self._pods[name].feed(life.Created())

    # waiting, and why it was in vain

    async def _until_done(self, event: rolling.Event) -> bool:
        self._wait = asyncio.get_running_loop().create_future()
        self._reconcile(event)
        try:
            return await self._wait
        finally:
            self._wait = None

    async def _until_routed(self) -> None:
        """A fresh Service takes a sync or two until every replica is in the node's table."""
        routed = asyncio.get_running_loop().create_future()

        def look() -> None:
            if not routed.done() and len(self._node.pods) >= self._spec.replicas:
                routed.set_result(None)

        self._node.on_change.append(look)
        look()
        await routed
        self._node.on_change.remove(look)

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
        within = human(self._spec.start_deadline)
        self._fail(EnvironmentFault(f"the pods were not ready within {within}: {self._why_not_ready()}"))

    def _why_not_ready(self) -> str:
        for pod in self._pods.values():
            if life.stage(pod.pod) in {"starting", "not ready"}:
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

    def _prepare_files(self) -> None:
        try:
            self._spec.run_dir.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise EnvironmentFault(f"cannot write to {self._spec.run_dir}: {error.strerror}") from None
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft != hard:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))

    def _open_ways_out(self) -> None:
        """Give the pods an `/etc/hosts` with the names that they may reach outside of their network."""
        self._ways_out = relay.plan(self._spec.reach)
        if any(way.named for way in self._ways_out):
            hosts = self._spec.run_dir.resolve() / "hosts"
            hosts.write_text(relay.hosts(self._ways_out, Path("/etc/hosts").read_text(encoding="utf-8")), "utf-8")
            self._hosts = str(hosts)

    async def _find_isolation(self) -> Isolation:
        """The best sandbox that this system allows: found out by making one, not by a system call's return value."""
        if os.environ.get("LAMEDUCK_SANDBOX") == "off":
            self._notes.append("no sandbox: LAMEDUCK_SANDBOX=off; the kernel's rules for process 1 are emulated")
            return Isolation(user=False, pid=False, net=False)
        net = self._spec.network == "sandbox"
        why_not = ""
        for user in (True, False):
            wanted = Isolation(user=user, pid=True, net=net)
            said = await self._zygote.trial(wanted)
            if not said:
                if not net:
                    self._notes.append("the pods share this machine's network: each has a port of its own in $PORT")
                return wanted
            why_not = why_not or said
        self._notes.append(
            f"this system allows no sandbox ({why_not}): the pods are bare processes that share its network, each with "
            "a port of its own in $PORT, and the kernel's rules for process 1 are emulated"
        )
        return Isolation(user=False, pid=False, net=False)

    def _facts(self) -> ClusterFacts:
        spec = self._spec
        hook = spec.hook()
        return ClusterFacts(
            kind="local",
            name=Path(spec.command[0]).name,
            replicas=spec.replicas,
            grace=spec.grace,
            pre_stop=str(hook) if hook else "",
            pre_stop_delay=spec.pre_stop_sleep * SECOND if spec.pre_stop_sleep else 0,
            address=self._hop.address if self._hop else self._doorway.address if self._doorway else "",
            notes=tuple(self._notes),
            details={
                "command": list(spec.command),
                "isolation": str(self._isolation),
                "port": self._ports.chosen,
                "readiness": f"httpGet {spec.ready_path}" if spec.ready_path else "tcpSocket",
                "max_surge": spec.max_surge,
                "max_unavailable": spec.max_unavailable,
                "min_ready_seconds": spec.min_ready_seconds,
                "min_sync_ms": spec.min_sync // MILLISECOND,
                "via": str(spec.via),
                "nice": spec.nice,
                "seed": spec.seed,
            },
        )


def _quoted(tail: str) -> str:
    return f" Its last words:\n{tail}" if tail else " It printed nothing."
