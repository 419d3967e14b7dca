"""One pod's life, as its kubelet leads it: start, probes, deletion, preStop, stop signal, SIGKILL, gone.

Laws (kubelet ``kuberuntime_container.go``, ``prober``, ``pod_workers.go``; measured on 1.34): a deletion starts two
things at once, the endpoint's removal and the preStop hook; the hook spends the grace period, in whole seconds; what is
left, but at least 2 s, lies between the stop signal and SIGKILL; a failed hook means the stop signal at once; a hook
that outlives the grace period runs on beside the drain; readiness probes go on until the end. A container that ends
without having been asked to is started again, at first at once, then after 10 s, 20 s …

One container per pod. Every wait is an entry of the agenda, so that `due` says when the next `Tick` is wanted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from lameduck.core import probes
from lameduck.core.endpoints import Endpoint, conditions
from lameduck.core.instants import MILLISECOND, SECOND
from lameduck.core.probes import Probe, ProbeSpec
from lameduck.core.timeline import Event as Fact
from lameduck.core.timeline import Milestone

MINIMUM_GRACE = 2 * SECOND
"""The kubelet's ``minimumGracePeriodInSeconds``: so long has a container between stop signal and SIGKILL, always."""
CRASH_BACKOFF = 10 * SECOND
LONGEST_BACKOFF = 300 * SECOND


class HookKind(StrEnum):
    """What a preStop hook does."""

    EXEC = "exec"
    HTTP = "httpGet"
    SLEEP = "sleep"


@dataclass(frozen=True, slots=True)
class Hook:
    """A preStop hook: `seconds` for sleep, `command` for exec, `path` and `port` for httpGet."""

    kind: HookKind
    seconds: int = 0
    command: tuple[str, ...] = ()
    path: str = ""
    port: int = 0

    def __str__(self) -> str:
        match self.kind:
            case HookKind.EXEC:
                return f"exec {' '.join(self.command)}"
            case HookKind.HTTP:
                return f"httpGet :{self.port}{self.path}"
            case HookKind.SLEEP:
                return f"sleep {self.seconds} s"


@dataclass(frozen=True, slots=True)
class PodSpec:
    """What a pod is to be; durations in nanoseconds."""

    probe: ProbeSpec = field(default_factory=ProbeSpec)
    grace: int = 30 * SECOND
    hook: Hook | None = None
    stop_signal: int = 15


@dataclass(frozen=True, slots=True)
class Delays:
    """How long the control plane takes for this pod, drawn once (nanoseconds; defaults: medians of Kubernetes 1.34)."""

    start: int = 520 * MILLISECOND
    """Created → first process."""
    probe_phase: int = 430 * MILLISECOND
    """First process → first probe."""
    status: int = 1 * SECOND
    """First process → its address is in the EndpointSlice though it is not ready."""
    ready_to_slice: int = 9 * MILLISECOND
    deletion_to_slice: int = 15 * MILLISECOND
    deletion_to_stop: int = 9 * MILLISECOND
    """Deletion → preStop or, without one, the stop signal."""
    exec_overhead: int = 30 * MILLISECOND
    """What an exec hook costs besides its own time."""
    exit_to_silence: int = 80 * MILLISECOND
    """Exit → the dead pod's address answers nothing any more, not even "refused"."""
    exit_to_slice: int = 150 * MILLISECOND
    exit_to_gone: int = 960 * MILLISECOND


class Phase(StrEnum):
    """How far a pod has come in its own life, terminating or not."""

    PENDING = "pending"
    RUNNING = "running"
    """Its first process was ordered to start, and has not ended."""
    BACKOFF = "backoff"
    """It ended by itself and waits to be started again."""
    EXITED = "exited"
    """It ended while terminating: it will not come back."""
    GONE = "gone"


class Due(StrEnum):
    """What an entry of the agenda is for."""

    RUN = "run"
    STATUS = "status"
    SLICE = "slice"
    STOP = "stop"
    HOOK_RUN = "hook run"
    HOOK_SLEPT = "hook slept"
    HOOK_LIMIT = "hook limit"
    KILL = "kill"
    SILENCE = "silence"
    WITHDRAW = "withdraw"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod's state. Instants are None until they come."""

    name: str
    spec: PodSpec
    delays: Delays
    phase: Phase = Phase.PENDING
    agenda: tuple[tuple[int, Due], ...] = ()
    probe: Probe | None = None
    listening: bool = False
    ready: bool = False
    """The pod's condition Ready."""
    addressed: bool = False
    """The EndpointSlice knows its address."""
    unready: bool = False
    """Its endpoint's end as a ready one was reported."""
    deleted: int | None = None
    hook_began: int | None = None
    hook_running: bool = False
    hook_waited: bool = False
    """The kubelet still waits for the hook."""
    signalled: int | None = None
    since: int = 0
    """When its stage last changed."""
    restarts: int = 0


@dataclass(frozen=True, slots=True)
class Created:
    """The pod object exists."""


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed."""


@dataclass(frozen=True, slots=True)
class Started:
    """The first process runs."""


@dataclass(frozen=True, slots=True)
class Listening:
    """Somebody listens on the pod's port, or nobody any more."""

    listening: bool


@dataclass(frozen=True, slots=True)
class Probed:
    """The readiness probe ended."""

    ok: bool
    message: str = ""


@dataclass(frozen=True, slots=True)
class Deleted:
    """Its deletion was requested."""


@dataclass(frozen=True, slots=True)
class HookEnded:
    """An exec or httpGet hook ended; `missing` when what it names is not in the image."""

    ok: bool
    message: str = ""
    missing: bool = False


@dataclass(frozen=True, slots=True)
class Exited:
    """The first process ended, and everything below it with it."""

    code: int


@dataclass(frozen=True, slots=True)
class Run:
    """Start the first process."""


@dataclass(frozen=True, slots=True)
class Ask:
    """Send the readiness probe."""

    spec: ProbeSpec


@dataclass(frozen=True, slots=True)
class RunHook:
    """Run an exec hook in the pod, or send an httpGet one."""

    hook: Hook


@dataclass(frozen=True, slots=True)
class Signal:
    """Send the stop signal to the first process."""

    signal: int


@dataclass(frozen=True, slots=True)
class Kill:
    """SIGKILL the whole pod."""


@dataclass(frozen=True, slots=True)
class Silence:
    """From now on the dead pod's address answers nothing."""


@dataclass(frozen=True, slots=True)
class Publish:
    """The EndpointSlice gets this entry."""

    endpoint: Endpoint


@dataclass(frozen=True, slots=True)
class Withdraw:
    """The EndpointSlice loses the pod."""


@dataclass(frozen=True, slots=True)
class ConditionReady:
    """The pod's condition Ready changed: what the Deployment controller looks at."""

    ready: bool


@dataclass(frozen=True, slots=True)
class Report:
    """A milestone (or another fact) was reached, at the instant of the step."""

    what: Milestone | Fact
    detail: Mapping[str, Any] = field(default_factory=dict)


Event = Created | Tick | Started | Listening | Probed | Deleted | HookEnded | Exited
Effect = Run | Ask | RunHook | Signal | Kill | Silence | Publish | Withdraw | ConditionReady | Report
Step = tuple[Pod, tuple[Effect, ...]]


def due(pod: Pod) -> int | None:
    """The instant at which the pod wants its next `Tick`; None if never."""
    times = [at for at, _ in pod.agenda]
    if pod.probe is not None and pod.probe.next is not None:
        times.append(pod.probe.next)
    return min(times, default=None)


def stage(pod: Pod) -> str:
    """The word for it in the live view."""
    if pod.phase in {Phase.EXITED, Phase.GONE}:
        return pod.phase.value
    if pod.signalled is not None:
        return "stopping"
    if pod.deleted is not None:
        return "terminating"
    if pod.ready:
        return "ready"
    return "not ready" if pod.probe is not None else "starting"


def step(pod: Pod, event: Event, now: int) -> Step:
    """The pod after an event, and what its kubelet does, in order."""
    before = stage(pod)
    after, effects = _event(pod, event, now)
    if stage(after) != before:
        after = replace(after, since=now)
    return after, effects


def _event(pod: Pod, event: Event, now: int) -> Step:
    if pod.phase is Phase.GONE:
        return pod, ()
    match event:
        case Created():
            return replace(_plan(pod, now + pod.delays.start, Due.RUN), since=now), (Report(Milestone.CREATED),)
        case Tick():
            return _tick(pod, now)
        case Started():
            return _started(pod, now)
        case Listening(listening):
            return _listening(pod, listening)
        case Probed(ok, message):
            return _probe(pod, probes.Answered(ok, message), now)
        case Deleted():
            return _deleted(pod, now)
        case HookEnded():
            return _hook_ended(pod, now, event)
        case Exited(code):
            return _exited(pod, now, code)


def _plan(pod: Pod, at: int, what: Due) -> Pod:
    return replace(pod, agenda=(*pod.agenda, (at, what)))


def _drop(pod: Pod, *what: Due) -> Pod:
    return replace(pod, agenda=tuple(entry for entry in pod.agenda if entry[1] not in what))


def _tick(pod: Pod, now: int) -> Step:
    effects: tuple[Effect, ...] = ()
    while pod.agenda and min(pod.agenda)[0] <= now:
        at, what = entry = min(pod.agenda)
        index = pod.agenda.index(entry)
        pod = replace(pod, agenda=pod.agenda[:index] + pod.agenda[index + 1 :])
        pod, more = _DUE[what](pod, at)
        effects += more
    pod, more = _probe(pod, probes.Tick(), now)
    return pod, effects + more


def _run(pod: Pod, _: int) -> Step:
    return replace(pod, phase=Phase.RUNNING), (Run(),)


def _started(pod: Pod, now: int) -> Step:
    if pod.phase is not Phase.RUNNING:
        return pod, ()
    probe = probes.begin(pod.spec.probe, now, pod.delays.probe_phase)
    started = replace(_plan(pod, now + pod.delays.status, Due.STATUS), probe=probe)
    return started, (Report(Milestone.STARTED),)


def _listening(pod: Pod, listening: bool) -> Step:
    if listening == pod.listening:
        return pod, ()
    what = Milestone.LISTENING if listening else Milestone.LISTENER_CLOSED
    return replace(pod, listening=listening), (Report(what),)


def _probe(pod: Pod, event: probes.Event, now: int) -> Step:
    if pod.probe is None:
        return pod, ()
    probe, effects = probes.step(pod.probe, event, now)
    pod = replace(pod, probe=probe)
    out: tuple[Effect, ...] = ()
    for effect in effects:
        match effect:
            case probes.Ask():
                out += (Ask(probe.spec),)
            case probes.ReadyChanged(ready):
                pod, more = _condition(pod, now, ready=ready)
                out += more
    return pod, out


def _condition(pod: Pod, now: int, *, ready: bool) -> Step:
    """The condition Ready changes; the EndpointSlice follows."""
    if ready == pod.ready:
        return pod, ()
    pod = _plan(replace(pod, ready=ready), now + pod.delays.ready_to_slice, Due.SLICE)
    report: tuple[Effect, ...] = (Report(Milestone.READY),) if ready and pod.deleted is None else ()
    return pod, (*report, ConditionReady(ready))


def _status(pod: Pod, now: int) -> Step:
    """The kubelet has reported the pod's address."""
    return (pod, ()) if pod.addressed or pod.phase is not Phase.RUNNING else _slice(pod, now)


def _slice(pod: Pod, _: int) -> Step:
    """The EndpointSlice controller has seen the pod as it is now."""
    endpoint = conditions(pod.name, ready=pod.ready, terminating=pod.deleted is not None)
    detail = {"serving": endpoint.serving, "terminating": endpoint.terminating}
    report: tuple[Effect, ...] = ()
    if endpoint.ready:
        report = (Report(Milestone.ENDPOINT_READY),)
    elif endpoint.terminating and not pod.unready:
        report = (Report(Milestone.ENDPOINT_NOT_READY, detail),)
    return replace(pod, addressed=True, unready=endpoint.terminating), (Publish(endpoint), *report)


def _deleted(pod: Pod, now: int) -> Step:
    if pod.deleted is not None:
        return pod, ()
    report = (Report(Milestone.DELETION_REQUESTED, {"grace_ns": pod.spec.grace}),)
    pod = _drop(replace(pod, deleted=now), Due.RUN, Due.STATUS)
    if pod.addressed:
        withdrawn = pod.spec.grace == 0  # the object goes at once, and its endpoint with it
        pod = _plan(pod, now + pod.delays.deletion_to_slice, Due.WITHDRAW if withdrawn else Due.SLICE)
    if pod.phase is Phase.RUNNING:
        return _plan(pod, now + pod.delays.deletion_to_stop, Due.STOP), report
    return _finish(replace(pod, phase=Phase.EXITED), now), report


def _stop(pod: Pod, now: int) -> Step:
    """The kubelet stops the container: the hook first, unless there is none or no grace period at all."""
    hook = pod.spec.hook
    if pod.phase is not Phase.RUNNING:
        return pod, ()
    if hook is None or pod.spec.grace == 0:
        return _signal(pod, now, pod.spec.grace)
    report = Report(Milestone.PRESTOP_STARTED, {"kind": hook.kind.value, "hook": str(hook)})
    pod = _plan(replace(pod, hook_began=now, hook_running=True, hook_waited=True), now + pod.spec.grace, Due.HOOK_LIMIT)
    match hook.kind:
        case HookKind.SLEEP:
            pod = _plan(pod, now + hook.seconds * SECOND, Due.HOOK_SLEPT)
        case HookKind.EXEC:
            pod = _plan(pod, now + pod.delays.exec_overhead, Due.HOOK_RUN)
        case HookKind.HTTP:
            return pod, (report, RunHook(hook))
    return pod, (report,)


def _hook_run(pod: Pod, _: int) -> Step:
    return (pod, (RunHook(pod.spec.hook),)) if pod.hook_running and pod.spec.hook else (pod, ())


def _hook_slept(pod: Pod, now: int) -> Step:
    return _hook_ended(pod, now, HookEnded(True))


def _hook_ended(pod: Pod, now: int, ended: HookEnded) -> Step:
    if not pod.hook_running:
        return pod, ()
    kind = pod.spec.hook.kind.value if pod.spec.hook else ""
    detail = {"ok": ended.ok, "message": ended.message, "kind": kind}
    report = Report(Milestone.PRESTOP_FINISHED, detail | ({"missing_binary": True} if ended.missing else {}))
    waited = pod.hook_waited
    pod = _drop(replace(pod, hook_running=False, hook_waited=False), Due.HOOK_LIMIT, Due.HOOK_RUN, Due.HOOK_SLEPT)
    if pod.phase is Phase.EXITED:
        return _finish(pod, now), (report,)
    if not waited:
        return pod, (report,)
    pod, effects = _signal(pod, now, grace_left(pod.spec.grace, now - (pod.hook_began or now)))
    return pod, (report, *effects)


def _hook_limit(pod: Pod, now: int) -> Step:
    """The grace period is used up: the kubelet stops waiting, the hook runs on."""
    return _signal(replace(pod, hook_waited=False), now, 0) if pod.phase is Phase.RUNNING else (pod, ())


def grace_left(grace: int, spent: int) -> int:
    """What a hook leaves of the grace period: it is charged in whole seconds, rounded down (nanoseconds)."""
    return grace - spent // SECOND * SECOND


def _signal(pod: Pod, now: int, left: int) -> Step:
    pod = _plan(replace(pod, signalled=now), now + max(left, MINIMUM_GRACE), Due.KILL)
    return pod, (Signal(pod.spec.stop_signal),)


def _kill(pod: Pod, _: int) -> Step:
    return (pod, (Report(Milestone.KILLED), Kill())) if pod.phase is Phase.RUNNING else (pod, ())


def _exited(pod: Pod, now: int, code: int) -> Step:
    if pod.phase is not Phase.RUNNING:
        return pod, ()
    if pod.deleted is None:
        return _crashed(pod, now, code)
    report = Report(Milestone.EXITED, {"code": code})
    pod = replace(pod, phase=Phase.EXITED, probe=None, listening=False)
    if not pod.hook_running:
        return _finish(pod, now), (report,)
    if pod.hook_waited and pod.spec.hook and pod.spec.hook.kind is HookKind.SLEEP:
        pod, effects = _condition(pod, now, ready=False)  # the kubelet sleeps on, though nobody is there any more
    else:
        pod, effects = _hook_ended(pod, now, HookEnded(False, "the container ended before it"))
    return pod, (report, *effects)


def _crashed(pod: Pod, now: int, code: int) -> Step:
    wait = min(LONGEST_BACKOFF, CRASH_BACKOFF * 2 ** (pod.restarts - 1)) if pod.restarts else pod.delays.start
    pod = replace(pod, phase=Phase.BACKOFF, probe=None, listening=False, restarts=pod.restarts + 1)
    pod, effects = _condition(_plan(_drop(pod, Due.STATUS), now + wait, Due.RUN), now, ready=False)
    report = Report(Milestone.EXITED, {"code": code, "crash": True})
    return pod, (report, Report(Fact.POD_FACT, {"restarts": pod.restarts}), *effects)


def _finish(pod: Pod, now: int) -> Pod:
    """Nothing of it runs and no hook is waited for: the sandbox goes, then the endpoint, then the object."""
    pod = _plan(pod, now + pod.delays.exit_to_silence, Due.SILENCE)
    if pod.addressed:
        pod = _plan(pod, now + pod.delays.exit_to_slice, Due.WITHDRAW)
    return _plan(pod, now + pod.delays.exit_to_gone, Due.GONE)


def _silence(pod: Pod, _: int) -> Step:
    return pod, (Silence(),)


def _withdraw(pod: Pod, _: int) -> Step:
    if not pod.addressed:
        return pod, ()
    detail = {"serving": False, "terminating": True}
    report: tuple[Effect, ...] = () if pod.unready else (Report(Milestone.ENDPOINT_NOT_READY, detail),)
    return _drop(replace(pod, addressed=False, unready=True), Due.SLICE), (Withdraw(), *report)


def _gone(pod: Pod, _: int) -> Step:
    return replace(pod, phase=Phase.GONE, agenda=(), probe=None), (Report(Milestone.GONE),)


_DUE: dict[Due, Callable[[Pod, int], Step]] = {
    Due.RUN: _run,
    Due.STATUS: _status,
    Due.SLICE: _slice,
    Due.STOP: _stop,
    Due.HOOK_RUN: _hook_run,
    Due.HOOK_SLEPT: _hook_slept,
    Due.HOOK_LIMIT: _hook_limit,
    Due.KILL: _kill,
    Due.SILENCE: _silence,
    Due.WITHDRAW: _withdraw,
    Due.GONE: _gone,
}
