"""The one place where everything meets: plan → drive → observe → judge.

Law: the load starts before the first disruption and stays on until the last exposed window is over; the world is
touched only through the Cluster port and the engine; whatever happens (an error, Ctrl-C), the cluster is stopped, the
run file closed, and what there is is judged by the same rules.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from lameduck import __version__
from lameduck.cluster import (
    Attributing,
    Cluster,
    ClusterFacts,
    Dialer,
    Entrance,
    Holding,
    Load,
    Loading,
    Observer,
    PodView,
)
from lameduck.core.errors import EnvironmentFault, UsageError
from lameduck.core.instants import SECOND, to_seconds
from lameduck.core.plan import Disruption, Plan
from lameduck.core.proof import Proof, Stall
from lameduck.core.recording import Recording, kept_open
from lameduck.core.run import Run
from lameduck.core.timeline import Event, Milestone, Observation, fold
from lameduck.core.windows import disturbed, exposed
from lameduck.defects.judge import judge
from lameduck.load.engine import Engine
from lameduck.load.foreign import ForeignLoad, Import
from lameduck.load.punctual import punctual
from lameduck.runfile import RunWriter, new_run_dir, plan_as_json

MOST_BASELINE_FAILURES = 0.05
"""Above this share of failures before any disruption nothing is disrupted: the service is broken already."""

GENTLE = 5_000.0
"""Up to this rate (requests per second) the load asks for real-time priority. Far above it a core is busy throughout,
and the kernel stops real-time threads for 50 ms of every second (sched_rt_runtime_us): p99 0.4 ms became 47 ms."""

Clock = Callable[[], int]


@dataclass(frozen=True, slots=True)
class Progress:
    """What is going on, for a live view. Instants in nanoseconds."""

    phase: str
    now: int
    started: int
    recording: Recording
    pods: tuple[PodView, ...]
    rollouts_done: int
    rollouts_asked: int
    note: str = ""
    sent: int = 0
    failed: int = 0
    load: str = ""
    """What is known of a load that is not ours, in words; "" for our own."""


Watcher = Callable[[Progress], None]


@dataclass(slots=True)
class _State:
    """What the phases of one proof share."""

    plan: Plan
    recording: Recording
    observations: list[Observation] = field(default_factory=list)
    phase: str = "starting"
    started: int = 0
    ended: int = 0
    done: int = 0
    stopped_early: str = ""


def _ignore(_: Progress) -> None:
    return


async def prove_async(
    make_cluster: Callable[[Observer, Path], Cluster],
    plan: Plan,
    *,
    run_dir: Path | None = None,
    secrets: Mapping[str, str] | None = None,
    watch: Watcher = _ignore,
    about: Mapping[str, Any] | None = None,
    tls: Tls | None = None,
    imports: Import | None = None,
    clock: Clock = time.monotonic_ns,
) -> Proof:
    """Prove one plan on one cluster, by our own load or, with ``imports``, by somebody else's.

    ``make_cluster`` is given the observer that the cluster must report to, and the run's folder; ``secrets`` maps the
    environment variables named by the plan's requests to their values; with ``tls`` the engine speaks it.
    Cancelling it ends the load, and the proof of what there is is still written to the run file.

    Raises `LameduckError` for what is for people to mend before anything can be proven.
    """
    folder = new_run_dir(run_dir)
    proof = _Proving(make_cluster, plan, folder, secrets or {}, watch, about or {}, tls, imports, clock)
    return await proof.run()


def prove(make_cluster: Callable[[Observer, Path], Cluster], plan: Plan, **options: Any) -> Proof:
    """`prove_async` for callers without an event loop, on uvloop where it exists."""
    return run_loop(prove_async(make_cluster, plan, **options))


Result = TypeVar("Result")


def run_loop(main: Coroutine[Any, Any, Result]) -> Result:
    """Run a coroutine to its end, on uvloop where it exists."""
    try:
        import uvloop  # noqa: PLC0415 - optional, and slow to import
    except ImportError:
        return asyncio.run(main)
    result: Result = uvloop.run(main)
    return result


@dataclass(frozen=True, slots=True)
class Tls:
    """How the engine trusts a server, and the name that it asks for and checks."""

    context: ssl.SSLContext
    server_name: str


class _Proving:
    def __init__(
        self,
        make_cluster: Callable[[Observer, Path], Cluster],
        plan: Plan,
        folder: Path,
        secrets: Mapping[str, str],
        watch: Watcher,
        about: Mapping[str, Any],
        tls: Tls | None,
        imports: Import | None,
        clock: Clock,
    ) -> None:
        self.cluster = make_cluster(self.observe, folder)
        self.plan, self.folder, self.secrets, self.watch, self.clock = plan, folder, secrets, watch, clock
        self.tls, self.imports = tls, imports
        self.about = {"lameduck": __version__, "python": sys.version.split()[0], "folder": str(folder), **about}
        self.state = _State(plan, Recording())
        self.load: Load | None = None
        self._dialer: Dialer | None = None
        self.writer: RunWriter | None = None

    def observe(self, seen: Observation) -> None:
        """Take in one observation; at a pod's deletion, note how many kept-alive connections it holds."""
        self._keep(seen)
        if seen.what is Milestone.DELETION_REQUESTED and self.load is not None:
            count = self._kept_open(self.load, seen.subject)
            if count is not None:
                detail = {"kept_open": count}
                self._keep(Observation(seen.at, Event.POD_FACT, seen.subject, source="engine", detail=detail))

    def _kept_open(self, load: Load, pod: str) -> int | None:
        """Kept-alive connections to a pod, the hop's own where there is one; None where that cannot be known."""
        hop: object = self._dialer
        if isinstance(hop, Holding):
            return hop.kept_open(pod)
        held = load.open_connections()
        # Where some connection's pod is unknown, it may be this one.
        return None if held is None or held[""] else held[pod]

    def _keep(self, seen: Observation) -> None:
        self.state.observations.append(seen)
        if self.writer is not None:
            self.writer.observe(seen)

    async def run(self) -> Proof:
        """Start, drive, stop, judge. A cancellation (Ctrl-C) under load still ends in a proof of what there is."""
        facts: ClusterFacts | None = None
        try:
            async with self._watched():
                facts = await self.cluster.start()
                await self._drive(facts)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if facts is None or self.load is None or task is None:
                raise
            task.uncancel()
            self.about["interrupted"] = True
            self.state.stopped_early = "interrupted"
        finally:
            await self.cluster.stop()
        proof = self._judged(facts)
        if isinstance(self.load, ForeignLoad) and self.load.error is not None:
            raise UsageError(f"{self.load.error}. What was observed is kept: lameduck attach KIND:FILE {self.folder}")
        return proof

    @contextlib.asynccontextmanager
    async def _watched(self) -> AsyncIterator[None]:
        """Show progress four times a second while something goes on."""

        async def show() -> None:
            while True:
                self.watch(self._progress())
                await asyncio.sleep(0.25)

        task = asyncio.create_task(show())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            if self.state.started:  # else there is nothing to judge, only an error to tell
                self.state.phase = "judging"
                self.watch(self._progress())

    def _progress(self) -> Progress:
        state = self.state
        return Progress(
            state.phase,
            self.clock(),
            state.started,
            state.recording,
            self.cluster.pods(),
            state.done,
            self.plan.disruption.times,
            state.stopped_early,
            *(self.load.counts() if self.load is not None else (0, 0)),
            self.load.told() if isinstance(self.load, ForeignLoad) else "",
        )

    async def _drive(self, facts: ClusterFacts) -> None:
        """Load on, baseline, disruptions, tail, load off."""
        state = self.state
        load = self.load = await self._foreign_load(self.imports, facts) if self.imports else self._load(facts)
        state.recording = load.recording
        state.started = self.clock()
        self.writer = RunWriter(self.folder / "run.db", state.recording, self._meta(facts))
        for seen in state.observations:
            self.writer.observe(seen)
        gentle = self.plan.traffic.rate <= GENTLE and isinstance(load, Engine)
        with punctual() if gentle else contextlib.nullcontext(enter_result=False) as granted:
            self.about["real_time"] = granted
            sending = asyncio.create_task(load.run(bounded=False))
            try:
                async with self._held_sockets(facts):
                    await self._until_failed(sending, self._phases())
            finally:
                load.stop()
                await asyncio.shield(sending)
                state.ended = load.ended if isinstance(load, ForeignLoad) else self.clock()
                self._learn()

    def _load(self, facts: ClusterFacts) -> Load:
        """What sends: the cluster's own agents, else an engine here."""
        if isinstance(self.cluster, Loading):
            brought = self.cluster.load(self.plan.traffic, self.secrets)
            if brought is not None:
                return brought
        self._dialer = self.cluster.dialer()
        tls = self.tls
        return Engine(
            self.plan.traffic,
            self._dialer,
            host=facts.host or facts.name,
            tls=tls.context if tls else None,
            server_name=tls.server_name if tls else "",
            secrets=self.secrets,
        )

    async def _foreign_load(self, imports: Import, facts: ClusterFacts) -> ForeignLoad:
        """Somebody else's load, once its requests come."""
        entered = self.cluster.entered if isinstance(self.cluster, Entrance) else None
        self.state.phase = f"waiting for a load on {facts.address}"
        load = ForeignLoad(imports, facts.address, self.folder, entered=entered, clock=self.clock)
        try:
            await load.begin()
        except BaseException:
            await load.end()
            raise
        return load

    def _learn(self) -> None:
        """What is known of the exchanges only now that the load has ended."""
        assert self.writer is not None
        assert self.load is not None
        if self.imports is not None and isinstance(self.cluster, Entrance):
            self.cluster.attribute_foreign(self.state.recording)
            self.writer.rewrite()
        parts: tuple[object, ...] = (self._dialer, self.cluster)
        for brought in parts:
            if isinstance(brought, Attributing):
                brought.attribute(self.state.recording)
                self.writer.rewrite()
        if self.imports is None and self.load.open_connections() is None:
            self._count_kept_open()

    def _count_kept_open(self) -> None:
        """How many kept-alive connections each pod held at its deletion, where the load could not say it then."""
        pods = fold(self.state.observations).values()
        deletions = {pod.name: at for pod in pods if (at := pod.at(Milestone.DELETION_REQUESTED)) is not None}
        for name, count in (kept_open(self.state.recording, deletions) or {}).items():
            detail = {"kept_open": count}
            self._keep(Observation(deletions[name], Event.POD_FACT, name, source="engine", detail=detail))

    @contextlib.asynccontextmanager
    async def _held_sockets(self, facts: ClusterFacts) -> AsyncIterator[None]:
        """The plan's WebSockets, open before the baseline and held until the phases are over."""
        if self.plan.sockets is None:
            yield
            return
        from lameduck.load.sockets import HeldSockets  # noqa: PLC0415 - its protocol's package is an extra

        if self._dialer is None:
            raise UsageError("WebSockets are held from this machine: --load-from here or a URL")
        host, header = facts.host or facts.name, self.plan.traffic.served_by_header
        held = HeldSockets(
            self.plan.sockets,
            self._dialer,
            self.observe,
            host=host,
            served_by_header=header,
            tls=self.tls.context if self.tls else None,
            server_name=self.tls.server_name if self.tls else "",
            clock=self.clock,
        )
        await held.open()
        holding = asyncio.create_task(held.hold())
        try:
            yield
        finally:
            holding.cancel()
            await asyncio.gather(holding, return_exceptions=True)

    async def _until_failed(self, load: asyncio.Task[None], phases: Any) -> None:
        """The phases, for as long as the load runs: if the engine breaks, so does the proof."""
        work = asyncio.create_task(phases)
        try:
            await asyncio.wait({load, work}, return_when=asyncio.FIRST_COMPLETED)
            if load.done() and not work.done():
                load.result()
                self.state.stopped_early = "the load ended before the proof did"
                return
            await work
        finally:
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)

    async def _phases(self) -> None:
        state, plan = self.state, self.plan
        state.phase = "baseline"
        await self._baseline()
        state.stopped_early = self._baseline_verdict()
        for number in range(1, plan.disruption.times + 1):
            if state.stopped_early:
                break
            await self._rest(number)
            state.phase = f"{plan.disruption.kind.value} {number} of {plan.disruption.times}"
            if await self.cluster.disrupt(number):
                state.done = number
            else:
                state.stopped_early = f"{plan.disruption.kind.value} {number} did not finish"
            if self.writer is not None and self.writer.error:
                raise EnvironmentFault(f"{self.writer.error}; make room, or name another folder with --run-dir")
        state.phase = "tail"
        await self._tail()

    async def _rest(self, number: int) -> None:
        """Before every disruption of ours but the first, which comes after the baseline."""
        disruption = self.plan.disruption
        if number > 1 and disruption.kind is not Disruption.NONE:
            self.state.phase = f"rest before {disruption.kind.value} {number}"
            await self._sleep_until(self.clock() + disruption.rest)

    async def _baseline(self) -> None:
        """Until the baseline is long enough: the settling second, then max(5 s, 500 requests)."""
        plan, recording = self.plan, self.state.recording
        start = self.state.started + plan.settle
        await self._sleep_until(start + plan.baseline)
        if self.imports is not None:
            return  # what it sends is read at the end
        skipped = sum(at < start for at in recording.intended_start[: int(plan.traffic.rate * 10)])
        while self._sent() - skipped < plan.baseline_requests and self.clock() < start + 60 * SECOND:
            await asyncio.sleep(0.1)

    def _sent(self) -> int:
        return self.load.counts()[0] if self.load is not None else 0

    def _baseline_verdict(self) -> str:
        assert self.load is not None
        sent, failed = self.load.counts()
        if failed > MOST_BASELINE_FAILURES * max(1, sent):
            return f"{failed:,} of {sent:,} requests failed before anything was disrupted"
        return ""

    async def _tail(self) -> None:
        """Until the last exposed window is over, and at least as long as was asked for."""
        give_up = self.clock() + self.plan.disruption.deadline
        while self._still_routed() and self.clock() < give_up:
            await asyncio.sleep(0.25)
        pods = fold(self.state.observations).values()
        never = self.clock()
        windows = [window for pod in pods if (window := exposed(pod, never)) is not None]
        if not self.plan.disruption.kind.ends_pods:
            windows += disturbed(self.state.observations, never)
        last = max((window.end for window in windows), default=0)
        await self._sleep_until(max(last, self.state.started + self.plan.traffic.duration))

    def _still_routed(self) -> bool:
        """Whether a table is known to send new connections to a pod that was told to go."""
        return any(pod.terminated and pod.facts.get("routed") for pod in fold(self.state.observations).values())

    async def _sleep_until(self, instant: int) -> None:
        while (left := instant - self.clock()) > 0:
            await asyncio.sleep(min(to_seconds(left), 1.0))

    def _meta(self, facts: ClusterFacts) -> dict[str, Any]:
        return {
            "plan": plan_as_json(self.plan),
            "facts": {**asdict(facts), "details": dict(facts.details)},
            "load_started": self.state.started,
            "wall_anchor": time.time_ns(),
            "about": self.about,
        }

    def _judged(self, facts: ClusterFacts) -> Proof:
        state = self.state
        assert self.load is not None
        stalls = [Stall(start, length) for start, length in self.load.stalls]
        if isinstance(self.cluster, Loading):
            facts = replace(facts, details={**facts.details, **self.cluster.facts_of_load()})
        run = Run(
            plan=self.plan,
            facts=facts,
            recording=state.recording,
            observations=state.observations,
            load_started=state.started,
            load_ended=state.ended,
            stalls=stalls,
            wall_anchor=time.time_ns() - (self.clock() - state.started),
            stopped_early=state.stopped_early,
            foreign=self.load.foreign if isinstance(self.load, ForeignLoad) else None,
            meta=self.about,
        )
        proof = judge(run)
        if self.writer is not None:
            for key, value in (
                ("facts", {**asdict(facts), "details": dict(facts.details)}),
                ("load_ended", state.ended),
                ("stalls", [[s.start, s.length] for s in stalls]),
                ("stopped_early", state.stopped_early),
                ("verdict", proof.verdict.value),
                ("sentence", proof.sentence),
                ("foreign", run.foreign.as_dict() if run.foreign else None),
            ):
                self.writer.note(key, value)
            self.writer.close()
        return proof
