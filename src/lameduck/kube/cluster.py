"""The Cluster port over Kubernetes: the user's own workload, watched through the API and disrupted through it.

Law: nothing is touched before preflight has passed; every change that must be undone is in the ledger first; a
disruption is over when the pods that had to go are gone and as many as are wanted are ready and routed to.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lameduck.cluster import ClusterFacts, Dialer, Load, Observer, PodView
from lameduck.core.errors import EnvironmentFault, UsageError
from lameduck.core.instants import SECOND, human
from lameduck.core.plan import Disruption, DisruptionPlan, TrafficPlan
from lameduck.core.recording import Recording
from lameduck.core.timeline import Event, Observation
from lameduck.kube import proxymetric
from lameduck.kube import workload as reading
from lameduck.kube.agents import Agents, AgentsWish
from lameduck.kube.api import Api, ApiError, Unreachable
from lameduck.kube.connect import Context
from lameduck.kube.disrupting import Disruptor, other_number
from lameduck.kube.eyes import FIRST_SIGHT, Eyes
from lameduck.kube.here import AnswerDialer, Way, served_by_lives
from lameduck.kube.inside import AgentKnocker, Aim, InsideLoad
from lameduck.kube.inspecting import process_one
from lameduck.kube.journals import Journals
from lameduck.kube.listeners import Listeners
from lameduck.kube.preflight import Checked, check
from lameduck.kube.proxymetric import Programmed
from lameduck.kube.restoring import Ledger
from lameduck.kube.sight import is_ready
from lameduck.kube.workload import Target

BEGINS_WITHIN = 15 * SECOND
"""A command that has ended has begun to replace pods by then, or it will not."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be proven, and from where."""

    context: Context
    target: Target
    disruption: DisruptionPlan
    service: str = ""
    port: str = ""
    host: str = ""
    way: Way = field(default_factory=Way)
    agents: AgentsWish | None = None
    """Send from inside the cluster instead."""
    knock: bool = True
    """Find out by direct connections when pods begin and cease to listen."""
    look_inside: bool = False
    """Ask a pod, by exec, what its process 1 does with the stop signal."""


class KubeCluster:
    """A workload on a cluster; implements `lameduck.cluster.Cluster`."""

    def __init__(
        self,
        wish: Wish,
        observe: Observer,
        folder: Path,
        clock: Callable[[], int] = time.monotonic_ns,
        ledger: Ledger | None = None,
    ) -> None:
        self._wish, self._observe, self._folder, self._clock = wish, observe, folder, clock
        self._api = Api(wish.context)
        self._ledger = ledger or Ledger()
        self._checked: Checked | None = None
        self._eyes: Eyes | None = None
        self._knocker: Listeners | AgentKnocker | None = None
        self._dialer: AnswerDialer | None = None
        self._journals: Journals | None = None
        self._agents: Agents | None = None
        self._inside: InsideLoad | None = None
        self._proxy_before: Programmed | None = None
        self._programmed = ""
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
        checked = self._checked = await check(
            self._api,
            wish.target,
            kind,
            times,
            service=wish.service,
            port=wish.port,
            agents=wish.agents is not None,
        )
        if wish.agents is not None:
            await self._start_agents(checked, wish.agents)
        else:
            self._dialer = await wish.way.dialer(checked, self._clock)
            if wish.knock and checked.shape.port and await self._routable(checked):
                self._knocker = Listeners(checked.shape.port, self._observe, self._clock)
        self._journals = Journals(self._api, checked.target.namespace, checked.shape.container, self._clock)
        self._eyes = Eyes(
            self._api,
            checked,
            self._observe,
            self._clock,
            knocker=self._knocker,
            follow=self._journals.follow if await self._journals.begin(checked.pods) else None,
            pid1=await self._look_inside(checked) if wish.look_inside else None,
        )
        if self._dialer is not None:
            self._dialer.name_by(self._eyes.names)
        await self._eyes.open()
        try:
            await self._eyes.until(
                lambda: self._see().settled(checked.replicas), self._clock() + int(FIRST_SIGHT * SECOND)
            )
        except TimeoutError:
            why = self._eyes.why_not()
            raise EnvironmentFault(f"{checked.target} is not settled, or not routed to: {why}") from None
        self._proxy_before = await proxymetric.read(self._api, self._node())
        return self._facts(checked)

    def dialer(self) -> Dialer:
        """How the engine reaches the Service."""
        assert self._dialer is not None
        return self._dialer

    def load(self, plan: TrafficPlan, secrets: Mapping[str, str]) -> Load | None:
        """See `lameduck.cluster.Loading`."""
        if self._agents is None:
            return None
        self._inside = InsideLoad(self._agents, plan, self._aim(), secrets, self._observe, self._clock)
        return self._inside

    def facts_of_load(self) -> Mapping[str, Any]:
        """See `lameduck.cluster.Loading`."""
        facts: dict[str, Any] = {"kube_proxy": self._programmed} if self._programmed else {}
        return {**facts, "senders": self._inside.senders} if self._inside is not None else facts

    def attribute(self, recording: Recording) -> None:
        """See `lameduck.cluster.Attributing`: of pods that had the same name, which one answered; and the journals."""
        served_by_lives(recording, self._see().lives())
        if self._journals is not None:
            for seen in self._journals.observations(self._clocks_of_nodes()):
                self._observe(seen)

    def _clocks_of_nodes(self) -> dict[str, Callable[[int], int]]:
        """The clocks of the nodes that have an agent."""
        agents = self._agents.all if self._agents is not None else []
        return {each.node: each.clock.ours for each in agents if each.asked}

    def pods(self) -> tuple[PodView, ...]:
        """The pods as they are now, oldest first."""
        return self._eyes.views() if self._eyes is not None else ()

    async def disrupt(self, number: int) -> bool:
        """One disruption, waited for to its end; see `Cluster.disrupt`."""
        plan, eyes = self._wish.disruption, self._see()
        if plan.kind is Disruption.NONE:
            uids = eyes.uids()
            try:
                await eyes.until(lambda: eyes.leaving(uids), self._clock() + plan.deadline)
            except TimeoutError:
                return self._failed(number, f"no rollout began within {human(plan.deadline)}")
        self._tell(Event.DISRUPTION_REQUESTED, number, {"kind": plan.kind.value})
        try:
            await self._disrupt(number, self._clock() + plan.deadline)
        except TimeoutError:
            return self._failed(number, f"not finished within {human(plan.deadline)}: {eyes.why_not()}")
        except (_Stuck, ApiError, Unreachable) as error:
            return self._failed(number, str(error))
        self._tell(Event.DISRUPTION_COMPLETED, number, {})
        return True

    async def stop(self) -> None:
        """Put everything back and close. Safe to call at any time, also twice."""
        if self._stopped:
            return
        self._stopped = True
        if self._eyes is not None:
            await self._eyes.close()
        if self._knocker is not None:
            await self._knocker.close()
        if self._journals is not None:
            await self._journals.close()
        if self._dialer is not None:
            self._dialer.close()
        await self._put_back()
        if self._proxy_before is not None:
            after = await proxymetric.read(self._api, self._node())
            self._programmed = "" if after is None else proxymetric.in_words(after.since(self._proxy_before))
        if self._agents is not None:
            await self._agents.stop()
            self.left += self._agents.left
        await self._api.close()

    def _node(self) -> str:
        """A node that has a pod of the workload."""
        return next((str(each["spec"]["nodeName"]) for each in self._need().pods if each.get("spec")), "")

    # load from inside

    async def _start_agents(self, checked: Checked, wish: AgentsWish) -> None:
        if checked.service["spec"].get("clusterIP") in {None, "", "None"}:
            name = checked.service["metadata"]["name"]
            raise UsageError(f"the Service {name} is headless: its clients choose among its pods; --load-from URL")
        self._agents = Agents(self._api, checked.target.namespace, wish, self._folder, self._clock)
        await self._agents.start()
        if self._wish.knock and checked.shape.port:
            self._knocker = AgentKnocker(self._agents, checked.shape.port)

    def _aim(self) -> Aim:
        checked = self._need()
        service, port = checked.service["metadata"]["name"], int(checked.port["port"])
        name = f"{service}.{checked.target.namespace}.svc"
        return Aim(name, port, self._wish.host or (name if port == 80 else f"{name}:{port}"))

    async def _look_inside(self, checked: Checked) -> dict[str, object]:
        names = [str(each["metadata"]["name"]) for each in checked.pods if is_ready(each)]
        if not names:
            return {}
        return await process_one(self._api, checked.target.namespace, names[0], checked.shape.container)

    # disrupting

    async def _disrupt(self, number: int, deadline: int) -> None:
        """Raises `TimeoutError`, and `_Stuck` where it will not end by itself."""
        checked, plan, eyes = self._need(), self._wish.disruption, self._see()
        disruptor = Disruptor(self._api, checked.target, self._ledger)
        uids = eyes.uids()
        if plan.kind is Disruption.COMMAND:
            await self._command(disruptor, plan.command, number)
        if plan.kind in {Disruption.COMMAND, Disruption.NONE}:
            await self._until_rolled_out(deadline)
            return
        ready = {each["metadata"]["name"]: str(each["metadata"]["uid"]) for each in eyes.pods() if is_ready(each)}
        going = await disruptor.do(plan.kind, [each for each in eyes.pods() if is_ready(each)], checked.replicas)
        if plan.kind is Disruption.SCALE:
            between = other_number(checked.replicas)
            await self._until(lambda: eyes.settled(between), deadline)
        if plan.kind in {Disruption.SCALE, Disruption.DRAIN}:
            await self._put_back()
        gone = uids if plan.kind is Disruption.ROLLOUT else frozenset(ready[name] for name in going)
        await self._until(lambda: eyes.settled(checked.replicas, gone), deadline)

    async def _command(self, disruptor: Disruptor, line: str, number: int) -> None:
        eyes, uids = self._see(), self._see().uids()
        before = eyes.workload["metadata"].get("generation")
        try:
            await disruptor.command(line, number)
        except EnvironmentFault as error:
            raise _Stuck(str(error)) from None
        try:
            await eyes.until(
                lambda: eyes.leaving(uids) or eyes.workload["metadata"].get("generation") != before,
                self._clock() + BEGINS_WITHIN,
            )
        except TimeoutError:
            raise _Stuck("--disrupt-command ended well, and no pod was replaced by it") from None

    async def _until_rolled_out(self, deadline: int) -> None:
        """Until its controller says so, and what it says is seen of the pods."""
        target, eyes = self._need().target, self._see()
        await self._until(
            lambda: (
                reading.rolled_out(eyes.workload, target.resource)
                and eyes.settled(reading.replicas(eyes.workload, target.resource))
            ),
            deadline,
        )

    async def _until(self, true: Callable[[], bool], deadline: int) -> None:
        eyes = self._see()
        await eyes.until(lambda: bool(reading.stuck(eyes.workload)) or true(), deadline)
        if not true():
            raise _Stuck(f"{self._need().target}: {reading.stuck(eyes.workload)}; {eyes.why_not()}")

    async def _put_back(self) -> None:
        if self._ledger.debts:
            self.left = await self._ledger.settle(self._api)

    # the rest

    def _need(self) -> Checked:
        assert self._checked is not None
        return self._checked

    def _see(self) -> Eyes:
        assert self._eyes is not None
        return self._eyes

    async def _routable(self, checked: Checked) -> bool:
        """Whether pods can be reached directly from here."""
        listed = await self._api.get("pods", checked.target.namespace, labelSelector=checked.selector)
        for each in listed.get("items", []):
            ip = each.get("status", {}).get("podIP")
            if ip and is_ready(each):
                try:
                    async with asyncio.timeout(1.0):
                        _, writer = await asyncio.open_connection(ip, checked.shape.port)
                except (OSError, TimeoutError):
                    return False
                writer.close()
                return True
        return False

    def _facts(self, checked: Checked) -> ClusterFacts:
        wish, service, aim = self._wish, checked.service["metadata"]["name"], self._aim()
        routes_known = self._dialer is not None and self._dialer.routes_known
        notes = list(checked.notes)
        if not routes_known:
            notes.append("which pod a connection went to is not known here, unless its answer says so (x-served-by)")
        return ClusterFacts(
            kind="kubernetes",
            name=str(checked.target),
            replicas=checked.replicas,
            grace=checked.shape.grace,
            pre_stop=checked.shape.pre_stop,
            pre_stop_delay=checked.shape.delay,
            host=wish.host or wish.way.authority or f"{service}.{checked.target.namespace}",
            address=self._dialer.url if self._dialer is not None else f"http://{aim.address}:{aim.port}",
            notes=tuple(notes),
            details={
                **checked.details,
                "context": wish.context.name,
                "namespace": checked.target.namespace,
                "routes_known": routes_known,
                "listener_probe": self._knocker is not None,
                "via": wish.way.via,
            },
        )

    def _failed(self, number: int, why: str) -> bool:
        self._tell(Event.DISRUPTION_FAILED, number, {"why": why})
        return False

    def _tell(self, what: Event, number: int, detail: dict[str, object]) -> None:
        self._observe(Observation(self._clock(), what, str(number), source="kubernetes", detail=detail))


class _Stuck(Exception):
    """A disruption that will not end by itself, in words."""
