"""The `Load` that agents inside the cluster make together: started at one instant, watched, and joined into one record.

Law: the record is joined only after the load has ended, agent by agent, on the driver's clock. An agent that was lost
leaves its part empty and says so in `senders`, which the gates read.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from lameduck.cluster import Observer
from lameduck.core.clocks import Clock
from lameduck.core.errors import EnvironmentFault, LameduckError
from lameduck.core.instants import SECOND
from lameduck.core.plan import TrafficPlan
from lameduck.core.recording import Recording, absorb
from lameduck.core.timeline import Observation
from lameduck.kube import wire
from lameduck.kube.agents import Agent, Agents
from lameduck.runfile import plan_as_json, read

HEAD_START = SECOND // 2
"""From the order to the first intended start (ns)."""
INSTANTS = ("intended_start", "actual_start", "connected", "sent", "first_byte", "finished")


@dataclass(frozen=True, slots=True)
class Aim:
    """Where the agents send."""

    address: str
    port: int
    host: str


class InsideLoad:
    """Implements `lameduck.cluster.Load`."""

    def __init__(
        self,
        agents: Agents,
        plan: TrafficPlan,
        aim: Aim,
        secrets: Mapping[str, str],
        observe: Observer,
        clock: Callable[[], int],
    ) -> None:
        self.recording = Recording()
        self.senders: list[dict[str, Any]] = []
        self._agents, self._plan, self._aim, self._secrets = agents, plan, aim, secrets
        self._observe, self._clock = observe, clock
        self._stalls: list[tuple[int, int]] = []
        self._stop = asyncio.Event()

    @property
    def stalls(self) -> list[tuple[int, int]]:
        """The agents' own, on our clock."""
        return self._stalls

    def counts(self) -> tuple[int, int]:
        """As of the last look at each agent."""
        return sum(each.sent for each in self._agents.all), sum(each.failed for each in self._agents.all)

    def open_connections(self) -> Counter[str] | None:
        """Not known until the record is there."""
        return None

    def stop(self) -> None:
        """See `lameduck.cluster.Load`."""
        self._stop.set()

    async def run(self, *, bounded: bool = True) -> None:
        """Start all, look at each once a second, end all, fetch all. Raises `EnvironmentFault` where none starts."""
        agents = self._agents
        started = self._clock() + HEAD_START
        await asyncio.gather(*(self._start(each, started) for each in agents.all))
        end = started + self._plan.duration if bounded else None
        while not self._stop.is_set() and agents.alive and (end is None or self._clock() < end):
            try:
                async with asyncio.timeout(wire.BEAT):
                    await self._stop.wait()
            except TimeoutError:
                await asyncio.gather(*map(agents.look, agents.alive))
        await asyncio.gather(*map(self._end, agents.alive))
        await asyncio.gather(*map(agents.fetch, agents.alive))
        for each in agents.all:
            self._join(each)

    async def _start(self, agent: Agent, started: int) -> None:
        packed = wire.pack(self._plan, plan_as_json(wire.bare(self._plan)), self._secrets)
        order = {
            **packed,
            "address": self._aim.address,
            "port": self._aim.port,
            "host": self._aim.host,
            "part": [agent.index, len(self._agents.all)],
            "started": agent.clock.theirs(started),
        }
        try:
            await self._agents.order(agent, "POST", "/start", order)
        except LameduckError as error:
            raise EnvironmentFault(f"the agent {agent.pod} cannot start: {error}") from None

    async def _end(self, agent: Agent) -> None:
        try:
            await self._agents.order(agent, "POST", "/stop", {})
        except LameduckError as error:
            agent.lost = f"{agent.pod} could not be told to stop: {error}"

    def _join(self, agent: Agent) -> None:
        """Its record behind the others'."""
        first = last = len(self.recording)
        error = 0
        if agent.file is not None:
            clock = agent.clock
            error = clock.error
            stored = read(agent.file)
            run = stored.run
            if not run.complete:
                agent.lost = "its record says that it is not whole"
            for name in INSTANTS:
                setattr(run.recording, name, clock.column(getattr(run.recording, name)))
            self._stalls += [(clock.ours(stall.start), stall.length) for stall in run.stalls]
            for seen in run.observations:
                self._observe(_ours(seen, clock))
            numbers = max(self.recording.connection, default=0)
            first, last = absorb(self.recording, run.recording, numbers)
        self.senders.append({
            "name": agent.pod, "node": agent.node, "first": first, "last": last, "clock_error": error,
            "whole": agent.file is not None and not agent.lost, "why": agent.lost,
        })  # fmt: skip


def _ours(seen: Observation, clock: Clock) -> Observation:
    return replace(seen, at=clock.ours(seen.at), precision=seen.precision + clock.error, source="agent")


class AgentKnocker:
    """Knocking at pods from inside: the first agent does it. See `lameduck.kube.eyes.Knocker`."""

    def __init__(self, agents: Agents, port: int) -> None:
        self._agents, self._port = agents, port
        self._told: set[tuple[str, bool]] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def opening(self, pod: str, ip: str) -> None:
        """Find out when it first accepts."""
        self._knock(pod, ip, opens=True, listened_at=None)

    def closing(self, pod: str, ip: str, listened_at: int | None) -> None:
        """Find out when it last accepts."""
        self._knock(pod, ip, opens=False, listened_at=listened_at)

    def forget(self, pod: str) -> None:
        """It is gone."""
        self._order("/forget", {"pod": pod})

    async def close(self) -> None:
        """Say nothing more."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _knock(self, pod: str, ip: str, *, opens: bool, listened_at: int | None) -> None:
        if (pod, opens) in self._told:
            return
        self._told.add((pod, opens))
        self._order("/knock", {"pod": pod, "ip": ip, "port": self._port, "open": opens, "listened_at": listened_at})

    def _order(self, what: str, body: dict[str, Any]) -> None:
        task = asyncio.create_task(self._send(what, body))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _send(self, what: str, body: dict[str, Any]) -> None:
        for agent in self._agents.alive[:1]:
            listened = body.get("listened_at")
            theirs = body if listened is None else {**body, "listened_at": agent.clock.theirs(listened)}
            try:
                await self._agents.order(agent, "POST", what, theirs)
            except LameduckError:
                return  # then the watch's own, less exact marks are all there is
