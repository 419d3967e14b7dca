"""One container's life, as its kubelet leads it: start, probes, stop with its hook and its turn, end, restart.

Laws (kubelet ``kuberuntime_container.go``, ``prober``, ``kuberuntime_termination_order.go``; measured on 1.34): the
preStop hook spends the grace period, in whole seconds, and then so does the wait for the container's turn; what is
left, but at least 2 s, lies between the stop signal and SIGKILL; a failed hook means the stop signal at once; a hook
that outlives the grace period runs on beside the drain. A container that ends without having been asked to, or whose
liveness or startup probe gave it up, is started again: at first at once, then after 10 s, 20 s …

Every wait is an entry of the agenda. A container does not know of the others: its pod says when its turn has come.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum

from lameduck.core import probes
from lameduck.core.instants import SECOND
from lameduck.core.podspec import ContainerSpec, Delays, Hook, HookKind, Role
from lameduck.core.podwords import (
    Ask,
    Effect,
    Exited,
    HookEnded,
    Kill,
    Probed,
    Report,
    Run,
    RunHook,
    Signal,
    Started,
    Tick,
    Which,
)
from lameduck.core.probes import Probe, ProbeSpec
from lameduck.core.timeline import Event as Fact
from lameduck.core.timeline import Milestone

MINIMUM_GRACE = 2 * SECOND
"""The kubelet's ``minimumGracePeriodInSeconds``: so long has a container between stop signal and SIGKILL, always."""
CRASH_BACKOFF = 10 * SECOND
LONGEST_BACKOFF = 300 * SECOND


class Phase(StrEnum):
    """How far a container, or a pod, has come in its own life, terminating or not."""

    PENDING = "pending"
    RUNNING = "running"
    """Its first process was ordered to start, and has not ended."""
    BACKOFF = "backoff"
    """It ended by itself and waits to be started again."""
    EXITED = "exited"
    """It ended, and will not come back."""
    GONE = "gone"


class Due(StrEnum):
    """What an entry of a container's agenda is for."""

    RUN = "run"
    NOTICE = "notice"
    POST_SLEPT = "postStart slept"
    HOOK_RUN = "hook run"
    HOOK_SLEPT = "hook slept"
    HOOK_LIMIT = "hook limit"
    TURN_LIMIT = "turn limit"
    KILL = "kill"


@dataclass(frozen=True, slots=True)
class Container:
    """A container's state. Instants are None until they come."""

    spec: ContainerSpec
    delays: Delays
    grace: int
    """The grace period that its stop has (ns)."""
    phase: Phase = Phase.PENDING
    agenda: tuple[tuple[int, Due], ...] = ()
    started: bool = False
    """Its first process is known to run."""
    up: bool = False
    """Its postStart hook is over and its startup probe has passed."""
    noticed: bool = False
    """The kubelet has seen that it is up: without a readiness probe it is ready from then on."""
    readiness: Probe | None = None
    liveness: Probe | None = None
    startup: Probe | None = None
    stopping: bool = False
    restarting: bool = False
    """It is stopped only to be started again."""
    waits: bool = False
    """Its stop signal must wait for other containers' ends."""
    waiting: tuple[int, int] | None = None
    """It has nothing left to wait for but its turn: since when, and how much grace was left then."""
    hook_began: int | None = None
    hook_running: bool = False
    hook_waited: bool = False
    """The kubelet still waits for the preStop hook."""
    signalled: int | None = None
    ends: tuple[int, ...] = ()
    """When it ended though it was to go on."""

    @property
    def name(self) -> str:
        """Its name in the pod."""
        return self.spec.name

    @property
    def ready(self) -> bool:
        """Whether it counts as ready."""
        return (
            self.phase is Phase.RUNNING
            and self.up
            and (self.noticed if self.readiness is None else self.readiness.ready)
        )

    @property
    def ended(self) -> bool:
        """Whether it is over for good, and the kubelet waits for none of its hooks either."""
        return self.phase is Phase.EXITED and not self.hook_running


Step = tuple[Container, tuple[Effect, ...]]
Event = Tick | Started | Probed | HookEnded | Exited


def due(one: Container) -> int | None:
    """The instant at which the container wants its next `Tick`; None if never."""
    times = [at for at, _ in one.agenda]
    times += [probe.next for probe in (one.readiness, one.liveness, one.startup) if probe and probe.next is not None]
    return min(times, default=None)


def begin(one: Container) -> Step:
    """The kubelet starts it."""
    return replace(one, phase=Phase.RUNNING), (Run(one.name),)


def stop(one: Container, now: int, grace: int, *, waits: bool = False) -> Step:
    """The kubelet stops it for good: the hook first, unless there is none or no grace period at all.

    `waits`: its stop signal comes after the end of other containers (`turn`), or at the end of grace.
    """
    if one.phase is not Phase.RUNNING:
        return replace(one, phase=Phase.EXITED, agenda=()), ()
    if one.stopping:  # for a restart, which will not be now
        return replace(one, restarting=False, waits=waits), ()
    return _stop(replace(one, grace=grace, waits=waits), now)


def turn(one: Container, now: int) -> Step:
    """The containers that it had to wait for have ended."""
    one = replace(one, waits=False)
    if one.waiting is None:
        return one, ()
    since, left = one.waiting
    return _signal(_drop(one, Due.TURN_LIMIT), now, grace_left(left, now - since))


def step(one: Container, event: Event, now: int) -> Step:
    """The container after an event, and what its kubelet does, in order."""
    match event:
        case Tick():
            return _tick(one, now)
        case Started():
            return _started(one, now)
        case Probed(ok, message, which):
            return _probe(one, which, probes.Answered(ok, message), now)
        case HookEnded():
            return _hook_ended(one, now, event)
        case Exited(code):
            return _exited(one, now, code)


def grace_left(grace: int, spent: int) -> int:
    """What a wait leaves of the grace period: it is charged in whole seconds, rounded down (nanoseconds)."""
    return grace - spent // SECOND * SECOND


def _plan(one: Container, at: int, what: Due) -> Container:
    return replace(one, agenda=(*one.agenda, (at, what)))


def _drop(one: Container, *what: Due) -> Container:
    return replace(one, agenda=tuple(entry for entry in one.agenda if entry[1] not in what))


def _say(one: Container, what: Milestone, **detail: object) -> Report:
    """A milestone of its life; what happens on the way to a restart is none."""
    return Report(Fact.POD_FACT, {f"restart: {what.value}": detail}) if one.restarting else Report(what, detail)


def _tick(one: Container, now: int) -> Step:
    effects: tuple[Effect, ...] = ()
    while one.agenda and min(one.agenda)[0] <= now:
        at, what = entry = min(one.agenda)
        index = one.agenda.index(entry)
        one = replace(one, agenda=one.agenda[:index] + one.agenda[index + 1 :])
        one, more = _DUE[what](one, at)
        effects += more
    for which in (Which.STARTUP, Which.LIVENESS, Which.READINESS):
        one, more = _probe(one, which, probes.Tick(), now)
        effects += more
    return one, effects


# its start


def _started(one: Container, now: int) -> Step:
    if one.phase is not Phase.RUNNING or one.started:
        return one, ()
    one, report = replace(one, started=True), Report(Milestone.STARTED)
    hook = one.spec.post_start
    if hook is None:
        one, effects = _awake(one, now)
        return one, (report, *effects)
    if hook.kind is HookKind.SLEEP:
        return _plan(one, now + hook.seconds * SECOND, Due.POST_SLEPT), (report,)
    return one, (report, RunHook(hook, Which.POST_START, one.name))


def _notice(one: Container, _: int) -> Step:
    return replace(one, noticed=True), ()


def _post_slept(one: Container, now: int) -> Step:
    return _hook_ended(one, now, HookEnded(True, which=Which.POST_START))


def _post_start_ended(one: Container, now: int, ended: HookEnded) -> Step:
    if one.spec.post_start is None or not one.started or one.up or one.startup is not None:
        return one, ()
    if ended.ok or one.stopping:
        return _awake(one, now)
    return _restart(one, now, f"its postStart hook failed: {ended.message}")


def _awake(one: Container, now: int) -> Step:
    """It runs, as far as the kubelet is concerned: the probes begin, the startup probe before the others."""
    if one.spec.startup is not None:
        return replace(one, startup=_begin(one, one.spec.startup, now, _unnoticed(one, now))), ()
    return _up(one, now), ()


def _unnoticed(one: Container, now: int) -> int:
    """How long (ns) until the kubelet first probes it."""
    return one.delays.probe_phase + one.delays.unnoticed(now)


def _up(one: Container, now: int) -> Container:
    ready, live, phase = one.spec.readiness, one.spec.liveness, _unnoticed(one, now)
    at_once = one.delays.relist is None
    if not at_once:
        one = _plan(one, now + phase, Due.NOTICE)
    return replace(
        one,
        up=True,
        noticed=at_once,
        startup=None,
        readiness=None if ready is None else _begin(one, ready, now, phase),
        liveness=None if live is None or one.stopping else replace(_begin(one, live, now, phase), ready=True),
    )


def _begin(one: Container, spec: ProbeSpec, now: int, phase: int) -> Probe:
    return probes.begin(spec, now, phase, one.delays.credit(now))


def _probe(one: Container, which: Which, event: probes.Event, now: int) -> Step:
    before: Probe | None = getattr(one, which.value)
    if before is None:
        return one, ()
    probe, effects = probes.step(before, event, now)
    one = replace(one, **{which.value: probe})  # type: ignore[arg-type]
    asked: tuple[Effect, ...] = tuple(Ask(probe.spec, which, one.name) for e in effects if isinstance(e, probes.Ask))
    changed = any(isinstance(effect, probes.ReadyChanged) for effect in effects)
    if which is Which.STARTUP and changed:
        return _up(one, now), asked
    if (which is Which.LIVENESS and changed) or (which is Which.STARTUP and probes.given_up(probe)):
        return _restart(one, now, f"its {which.value} probe failed: {probe.message}")
    return one, asked


# its stop


def _restart(one: Container, now: int, why: str) -> Step:
    if one.stopping:
        return one, ()
    one, effects = _stop(replace(one, restarting=True), now)
    return one, (Report(Fact.POD_FACT, {"restarted": why}), *effects)


def _stop(one: Container, now: int) -> Step:
    one = replace(one, stopping=True, liveness=None, startup=None)
    hook = one.spec.pre_stop
    if hook is None or one.grace == 0:
        return _to_signal(one, now, one.grace)
    report = _say(one, Milestone.PRESTOP_STARTED, kind=hook.kind.value, hook=str(hook))
    one = _plan(replace(one, hook_began=now, hook_running=True, hook_waited=True), now + one.grace, Due.HOOK_LIMIT)
    match hook.kind:
        case HookKind.SLEEP:
            one = _plan(one, now + hook.seconds * SECOND, Due.HOOK_SLEPT)
        case HookKind.EXEC:
            one = _plan(one, now + one.delays.exec_overhead, Due.HOOK_RUN)
        case HookKind.HTTP:
            return one, (report, RunHook(hook, Which.PRE_STOP, one.name))
    return one, (report,)


def _run_hook(one: Container, _: int) -> Step:
    hook: Hook | None = one.spec.pre_stop if one.hook_running else None
    return one, () if hook is None else (RunHook(hook, Which.PRE_STOP, one.name),)


def _hook_slept(one: Container, now: int) -> Step:
    return _hook_ended(one, now, HookEnded(True))


def _hook_ended(one: Container, now: int, ended: HookEnded) -> Step:
    if ended.which is Which.POST_START:
        return _post_start_ended(one, now, ended)
    if not one.hook_running:
        return one, ()
    kind = one.spec.pre_stop.kind.value if one.spec.pre_stop else ""
    more = {name: True for name, so in (("missing_binary", ended.missing), ("cut", ended.cut)) if so}
    report = _say(one, Milestone.PRESTOP_FINISHED, ok=ended.ok, message=ended.message, kind=kind, **more)
    waited = one.hook_waited
    one = _drop(replace(one, hook_running=False, hook_waited=False), Due.HOOK_LIMIT, Due.HOOK_RUN, Due.HOOK_SLEPT)
    if one.phase is Phase.EXITED or not waited:
        return one, (report,)
    one, effects = _to_signal(one, now, grace_left(one.grace, now - (one.hook_began or now)))
    return one, (report, *effects)


def _hook_limit(one: Container, now: int) -> Step:
    """The grace period is used up: the kubelet stops waiting, the hook runs on."""
    return _to_signal(replace(one, hook_waited=False), now, 0) if one.phase is Phase.RUNNING else (one, ())


def _to_signal(one: Container, now: int, left: int) -> Step:
    if one.waits and left > 0:
        return _plan(replace(one, waiting=(now, left)), now + left, Due.TURN_LIMIT), ()
    return _signal(one, now, left)


def _turn_limit(one: Container, now: int) -> Step:
    """The grace period is used up: its turn has come, whoever still runs."""
    return _signal(one, now, 0)


def _signal(one: Container, now: int, left: int) -> Step:
    one = _plan(replace(one, signalled=now, waiting=None), now + max(left, MINIMUM_GRACE), Due.KILL)
    return one, (Signal(one.spec.stop_signal, one.name),)


def _kill(one: Container, _: int) -> Step:
    return (one, (_say(one, Milestone.KILLED), Kill(one.name))) if one.phase is Phase.RUNNING else (one, ())


# its end


def _exited(one: Container, now: int, code: int) -> Step:
    if one.phase is not Phase.RUNNING:
        return one, ()
    restarts = one.restarting or (not one.stopping and (one.spec.role is not Role.INIT or code != 0))
    if restarts:
        return _again(one, now, code)
    report = Report(Milestone.EXITED, {"code": code})
    one = replace(one, phase=Phase.EXITED, readiness=None, liveness=None, startup=None, waiting=None)
    one = _drop(one, Due.TURN_LIMIT, Due.KILL, Due.POST_SLEPT)
    if not one.hook_running or (one.hook_waited and one.spec.pre_stop and one.spec.pre_stop.kind is HookKind.SLEEP):
        return one, (report,)  # the kubelet sleeps on, though nobody is there any more
    one, effects = _hook_ended(one, now, HookEnded(False, "the container ended before it", cut=True))
    return one, (report, *effects)


def _again(one: Container, now: int, code: int) -> Step:
    """It ended though it was to go on: it is started again, later and later."""
    before = len(one.ends)
    wait = min(LONGEST_BACKOFF, CRASH_BACKOFF * 2 ** (before - 1)) if before else one.delays.start
    ends = (*one.ends, now)
    report = () if one.restarting else (Report(Milestone.EXITED, {"code": code, "crash": True}),)
    fresh = Container(one.spec, one.delays, one.grace, Phase.BACKOFF, ((now + wait, Due.RUN),), ends=ends)
    return fresh, (*report, Report(Fact.POD_FACT, {"restarts": len(ends), "crashes": ends}))


_DUE: dict[Due, Callable[[Container, int], Step]] = {
    Due.RUN: lambda one, _: begin(one),
    Due.NOTICE: _notice,
    Due.POST_SLEPT: _post_slept,
    Due.HOOK_RUN: _run_hook,
    Due.HOOK_SLEPT: _hook_slept,
    Due.HOOK_LIMIT: _hook_limit,
    Due.TURN_LIMIT: _turn_limit,
    Due.KILL: _kill,
}
