"""A rollout in virtual time: what controllers, kubelets and ways of traffic do when the processes are only assumed.

Law: every decision is asked of the same functions as on the local cluster (`core.workloads`, `core.pod`, `core.path`);
all that is assumed is the `App`: when it listens, and how it ends. What comes out is a prediction, never a proof: the
app may be otherwise, and requests in hand and kept-alive connections are not looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count

from lameduck.core import endpoints, path, rolling, workloads
from lameduck.core import pod as life
from lameduck.core.endpoints import Node
from lameduck.core.instants import MILLISECOND, SECOND
from lameduck.core.path import Table
from lameduck.core.podspec import Delays, HookKind, PodSpec
from lameduck.core.timeline import Milestone, Observation, PodHistory, fold
from lameduck.core.windows import exposed
from lameduck.core.workloads import Workload

ANSWER = 1 * MILLISECOND
"""How long a probe takes to be answered."""
LONGEST = 24 * 3600 * SECOND
"""Virtual time after which a rollout is given up."""


@dataclass(frozen=True, slots=True)
class App:
    """What is assumed of a container's process; durations in nanoseconds."""

    starts: int = 100 * MILLISECOND
    """First process → it listens."""
    stops: int = 100 * MILLISECOND
    """Stop signal (its listener closes at once) → its end."""
    heeds: bool = True
    """Whether the stop signal reaches it: else it serves until SIGKILL."""
    hook: int = 0
    """How long an exec or httpGet preStop hook takes."""


@dataclass(frozen=True, slots=True)
class Ending:
    """One pod's termination (instants); `routed_until` and `meant` by way."""

    pod: PodHistory
    deaf: int
    """From when on nobody accepted there any more."""
    routed_until: Mapping[str, int]
    meant: Mapping[str, bool]
    """Whether it was routed to on purpose, for want of a ready endpoint: that is no lag."""

    @property
    def deletion(self) -> int:
        """When it was asked for."""
        return self.pod.marks[Milestone.DELETION_REQUESTED].at

    @property
    def stop_signal(self) -> int | None:
        """When the stop signal came, None where it never did."""
        return self.pod.at(Milestone.STOP_SIGNAL)

    def lag(self, way: str) -> int:
        """How long the way went on sending after the endpoint had left (ns)."""
        left = self.pod.at(Milestone.ENDPOINT_NOT_READY)
        return 0 if left is None or self.meant[way] else max(0, self.routed_until[way] - left)

    def unheard(self, way: str) -> int:
        """How long the way sent to it though nobody accepted any more (ns)."""
        return max(0, self.routed_until[way] - self.deaf)

    def window(self, way: str) -> int:
        """The length of its exposed window (ns)."""
        facts = {"unrouted_at": self.routed_until[way]}
        found = exposed(PodHistory(self.pod.name, self.pod.marks, facts), LONGEST)
        return 0 if found is None else found.length


@dataclass(frozen=True, slots=True)
class Rollout:
    """One simulated rollout: its length (ns), its terminations, and by way how much traffic found nobody (ns).

    That is the sum over time of the share of new connections that would have met a pod where nobody accepts any more
    (`stopped`), or one where nobody accepts yet, or no pod at all (`nobody`): times a rate it is requests lost.
    """

    length: int
    completed: bool
    endings: tuple[Ending, ...]
    stopped: Mapping[str, float]
    nobody: Mapping[str, float]

    def missed(self, way: str) -> float:
        """Both together (ns)."""
        return self.stopped[way] + self.nobody[way]


@dataclass(slots=True)
class Simulation:
    """A cluster in virtual time. `delays` draws a new pod's, `controller` a reaction's (ns)."""

    workload: Workload
    template: PodSpec
    tables: dict[str, Table]
    app: App
    delays: Callable[[], Delays]
    controller: Callable[[], int]
    now: int = 0
    _agenda: list[tuple[int, int, Callable[[], None]]] = field(default_factory=list)
    _order: count[int] = field(default_factory=count)
    _pods: dict[str, life.Pod] = field(default_factory=dict)
    _hearing: set[str] = field(default_factory=set)
    _deaf: dict[str, int] = field(default_factory=dict)
    _seen: list[Observation] = field(default_factory=list)
    _over: str = ""
    _counting: bool = False
    _counted: int = 0
    _stopped: dict[str, float] = field(default_factory=dict)
    _nobody: dict[str, float] = field(default_factory=dict)
    _held: dict[str, set[str]] = field(default_factory=dict)
    _until: dict[str, dict[str, int]] = field(default_factory=dict)
    _meant: dict[str, set[str]] = field(default_factory=dict)

    def start(self) -> bool:
        """Bring the workload up. Returns whether it came up."""
        self._until = {way: {} for way in self.tables}
        self._held = {way: set() for way in self.tables}
        self._meant = {way: set() for way in self.tables}
        return self._roll()

    def rest(self, duration: int) -> None:
        """Let time pass."""
        self._run(self.now + duration)

    def roll(self) -> Rollout:
        """One rollout to a new revision, until every way has let go of the old pods."""
        began, known = self.now, len(self._seen)
        self._stopped, self._nobody = dict.fromkeys(self.tables, 0.0), dict.fromkeys(self.tables, 0.0)
        self._counting, self._counted = True, self.now
        completed = self._roll()
        length = self.now - began
        pods = [pod for pod in fold(self._seen[known:]).values() if pod.terminated]
        gone = {pod.name for pod in pods}
        prompt = [way for way, table in self.tables.items() if isinstance(table, Node)]
        limit = self.now + LONGEST
        while self._agenda and self.now < limit and any(self._astray(way, gone) for way in prompt):
            self._run(self._agenda[0][0])
        self._pass(self.now)
        self._counting = False
        for way in set(self.tables) - set(prompt):
            self._let_go(way, gone)
        return Rollout(length, completed, tuple(self._ending(pod) for pod in pods), self._stopped, self._nobody)

    def _astray(self, way: str, gone: set[str]) -> bool:
        """Whether a way sends to a pod that is gone, or to nobody at all."""
        return not self._held[way] or bool(self._held[way] & gone)

    def _let_go(self, way: str, gone: set[str]) -> None:
        """Until a slow way sends to none of these. No pod has a part in that, so that only its own time passes."""
        now = self.now
        while self._held[way] & gone and (at := path.due(self.tables[way])) is not None:
            self._count(way, at - now)
            now = at
            self._sync(way, endpoints.Tick(), now)

    def _ending(self, pod: PodHistory) -> Ending:
        last = pod.marks[Milestone.DELETION_REQUESTED].at
        until = {way: self._until[way].get(pod.name, last) for way in self.tables}
        meant = {way: pod.name in self._meant[way] for way in self.tables}
        return Ending(pod, self._deaf.get(pod.name, last), until, meant)

    # the loop

    def _roll(self) -> bool:
        self._over = ""
        self._reconcile(rolling.Roll())
        limit = self.now + LONGEST
        while not self._over and self.now < limit and self._agenda:
            self._run(self._agenda[0][0])
        return self._over == "completed"

    def _run(self, until: int) -> None:
        while self._agenda and self._agenda[0][0] <= until:
            at, _, act = heappop(self._agenda)
            self._pass(at)
            act()
        self._pass(until)

    def _pass(self, at: int) -> None:
        """Time passes: what meets nobody meanwhile is counted."""
        if self._counting and at > self._counted:
            for way in self.tables:
                self._count(way, at - self._counted)
            self._counted = at
        self.now = max(self.now, at)

    def _count(self, way: str, time: int) -> None:
        held = self._held[way]
        stopped = sum(name in self._deaf for name in held)
        silent = len(held - self._hearing) - stopped
        self._stopped[way] += time * stopped / max(1, len(held))
        self._nobody[way] += time * (silent / len(held) if held else 1.0)

    def _later(self, at: int, act: Callable[[], None]) -> None:
        heappush(self._agenda, (at, next(self._order), act))

    # the controller

    def _control(self, event: rolling.Event) -> None:
        self._later(self.now + self.controller(), lambda: self._reconcile(event))

    def _reconcile(self, event: rolling.Event) -> None:
        self.workload, effects = workloads.step(self.workload, event, self.now)
        for effect in effects:
            match effect:
                case rolling.Create(name):
                    self._pods[name] = life.Pod(name, self.template, self.delays())
                    self._feed(name, life.Created())
                case rolling.Delete(name):
                    self._feed(name, life.Deleted())
                case rolling.Completed():
                    self._over = "completed"
                case rolling.Stuck():
                    self._over = "stuck"
        at = workloads.due(self.workload)
        if at is not None:
            self._later(max(at, self.now), self._tick)

    def _tick(self) -> None:
        """Only if it is still wanted: an agenda keeps what was asked for once."""
        at = workloads.due(self.workload)
        if at is not None and at <= self.now:
            self._reconcile(rolling.Tick())

    # a pod

    def _feed(self, name: str, event: life.Event) -> None:
        pod = self._pods.get(name)
        if pod is None:
            return
        pod, effects = life.step(pod, event, self.now)
        self._pods[name] = pod
        for effect in effects:
            self._perform(pod, effect)
        at = life.due(pod)
        if at is not None:
            self._later(max(at, self.now), lambda: self._wake(name))

    def _wake(self, name: str) -> None:
        pod = self._pods.get(name)
        at = None if pod is None else life.due(pod)
        if at is not None and at <= self.now:
            self._feed(name, life.Tick())

    def _soon(self, after: int, name: str, event: life.Event) -> None:
        self._later(self.now + after, lambda: self._feed(name, event))

    def _perform(self, pod: life.Pod, effect: life.Effect) -> None:
        name, serving = pod.name, self.template.serving
        match effect:
            case life.Report(what, detail):
                self._seen.append(Observation(self.now, what, name, detail=detail))
                if what is Milestone.STARTED:
                    self._control(rolling.Running(name))
                elif what is Milestone.GONE:
                    del self._pods[name]
                    self._control(rolling.Gone(name))
            case life.Run(container):
                self._soon(0, name, life.Started(container))
                if container == serving:
                    self._later(self.now + self.app.starts, lambda: self._listen(name))
            case life.Ask(_, which, container):
                answers = container != serving or name in self._hearing
                self._soon(ANSWER, name, life.Probed(answers, which=which, container=container))
            case life.RunHook(hook, which, container):
                took = hook.seconds * SECOND if hook.kind is HookKind.SLEEP else self.app.hook
                self._soon(took, name, life.HookEnded(True, which=which, container=container))
            case life.Signal(_, container) | life.Kill(container):
                self._end(name, container, kill=isinstance(effect, life.Kill))
            case life.Publish(endpoint):
                self._route(endpoints.Published(endpoint))
            case life.Withdraw():
                self._route(endpoints.Withdrawn(name))
            case life.ConditionReady(ready):
                self._control(rolling.ReadyChanged(name, ready))
            case life.Silence():
                pass

    def _end(self, name: str, container: str, *, kill: bool) -> None:
        """A container is told to end, or is made to."""
        serves = container == self.template.serving
        if serves and not kill:
            self._seen.append(Observation(self.now, Milestone.STOP_SIGNAL, name))
        if kill or self.app.heeds or not serves:
            self._soon(0 if kill else self.app.stops, name, life.Exited(137 if kill else 0, container))
            if serves:
                self._deafen(name)

    def _listen(self, name: str) -> None:
        pod = self._pods.get(name)
        if pod is not None and pod.phase is life.Phase.RUNNING and name not in self._deaf:
            self._hearing.add(name)
            self._feed(name, life.Listening(True))

    def _deafen(self, name: str) -> None:
        if name in self._hearing or name not in self._deaf:
            self._deaf.setdefault(name, self.now)
        self._hearing.discard(name)
        self._soon(0, name, life.Listening(False))

    # the ways

    def _route(self, event: endpoints.Event) -> None:
        for way in self.tables:
            self._sync(way, event, self.now)

    def _sync(self, way: str, event: endpoints.Event, now: int) -> None:
        self.tables[way], effects = path.step(self.tables[way], event, now)
        for effect in effects:
            after = set(effect.pods)
            for name in self._held[way] - after:
                self._until[way][name] = now
            self._held[way] = after
            if path.in_last_resort(self.tables[way]):
                self._meant[way] |= after
        at = path.due(self.tables[way])
        if at is not None:
            self._later(max(at, now), lambda: self._look(way))

    def _look(self, way: str) -> None:
        at = path.due(self.tables[way])
        if at is not None and at <= self.now:
            self._sync(way, endpoints.Tick(), self.now)
