"""One pod's life, as its kubelet leads it: its containers in order, readiness, deletion, the order of the end, gone.

Laws (kubelet ``kuberuntime_manager.go``, ``kuberuntime_termination_order.go``, ``pod_workers.go``; measured on 1.34):
init containers run one after the other, a sidecar among them only has to start; a deletion starts two things at once,
the endpoint's removal and every container's preStop hook; a sidecar's stop signal waits until every main container, and
every sidecar after it, has ended, or the grace period is used up; readiness probes go on until the end; the pod is over
when its last container is. One container's life is `core.container`.

Every wait is an entry of an agenda, so that `due` says when the next `Tick` is wanted.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import StrEnum

from lameduck.core import container as life
from lameduck.core import podworker
from lameduck.core.container import Container, Phase, grace_left
from lameduck.core.endpoints import conditions
from lameduck.core.podspec import ContainerSpec, Delays, Hook, HookKind, PodSpec, Role
from lameduck.core.podwords import (
    Ask,
    ConditionReady,
    Created,
    Deleted,
    Effect,
    Event,
    Exited,
    HookEnded,
    Kill,
    Listening,
    Probed,
    Publish,
    Report,
    Run,
    RunHook,
    Signal,
    Silence,
    Started,
    Tick,
    Which,
    Withdraw,
)
from lameduck.core.podworker import Worker
from lameduck.core.timeline import Event as Fact
from lameduck.core.timeline import Milestone

__all__ = [
    "Ask",
    "ConditionReady",
    "ContainerSpec",
    "Created",
    "Delays",
    "Deleted",
    "Effect",
    "Event",
    "Exited",
    "Hook",
    "HookEnded",
    "HookKind",
    "Kill",
    "Listening",
    "Phase",
    "Pod",
    "PodSpec",
    "Probed",
    "Publish",
    "Report",
    "Role",
    "Run",
    "RunHook",
    "Signal",
    "Silence",
    "Started",
    "Tick",
    "Which",
    "Withdraw",
    "due",
    "grace_left",
    "stage",
    "step",
]


class Due(StrEnum):
    """What an entry of the pod's own agenda is for."""

    RUN = "run"
    NOTICE = "notice"
    STATUS = "status"
    SLICE = "slice"
    STOP = "stop"
    TURN = "turn"
    SILENCE = "silence"
    WITHDRAW = "withdraw"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod's state. Instants are None until they come."""

    name: str
    spec: PodSpec
    delays: Delays
    containers: tuple[Container, ...] = ()
    """In the order of the spec; empty before the pod is created."""
    agenda: tuple[tuple[int, Due], ...] = ()
    worker: Worker = field(default_factory=lambda: Worker(None))
    listening: bool = False
    ready: bool = False
    """The pod's condition Ready."""
    addressed: bool = False
    """The EndpointSlice knows its address."""
    unready: bool = False
    """Its endpoint's end as a ready one was reported."""
    deleted: int | None = None
    over: bool = False
    """Every container has ended, and the pod is on its way out."""
    gone: bool = False
    since: int = 0
    """When its stage last changed."""

    @property
    def server(self) -> Container | None:
        """The serving container; None before the pod is created."""
        return next((one for one in self.containers if one.name == self.spec.serving), None)

    @property
    def phase(self) -> Phase:
        """The serving container's phase, until the object is gone."""
        if self.gone:
            return Phase.GONE
        return Phase.PENDING if self.server is None else self.server.phase


Step = tuple[Pod, tuple[Effect, ...]]


def due(pod: Pod) -> int | None:
    """The instant at which the pod wants its next `Tick`; None if never."""
    times = [at for at, _ in pod.agenda]
    if not pod.gone:
        times += [at for one in pod.containers if (at := life.due(one)) is not None]
    return min(times, default=None)


def stage(pod: Pod) -> str:
    """The word for it in the live view."""
    server = pod.server
    if pod.phase in {Phase.EXITED, Phase.GONE}:
        return pod.phase.value
    if server is not None and server.signalled is not None:
        return "stopping"
    if pod.deleted is not None:
        return "terminating"
    if pod.ready:
        return "ready"
    return "not ready" if server is not None and server.started else "starting"


def step(pod: Pod, event: Event, now: int) -> Step:
    """The pod after an event, and what its kubelet does, in order."""
    if pod.gone:
        return pod, ()
    before = stage(pod)
    after, effects = _event(pod, event, now)
    after, more = _settle(after, now)
    if stage(after) != before:
        after = replace(after, since=now)
    return after, effects + more


def _event(pod: Pod, event: Event, now: int) -> Step:
    match event:
        case Created():
            made = tuple(Container(one, pod.delays, pod.spec.grace) for one in pod.spec.containers)
            pod = replace(pod, containers=made, worker=Worker(pod.delays.relist))
            pod = _plan(pod, now + pod.delays.start, Due.RUN)
            return replace(pod, since=now), (Report(Milestone.CREATED),)
        case Tick():
            return _tick(pod, now)
        case Listening(listening):
            return _listening(pod, listening)
        case Deleted(grace):
            return _deleted(pod, now, pod.spec.grace if grace is None else grace)
        case Started() | Probed() | HookEnded() | Exited():
            one = next((each for each in pod.containers if each.name == event.container), None)
            return (pod, ()) if one is None else _moved(pod, one, life.step(one, event, now), now)


def _plan(pod: Pod, at: int, what: Due) -> Pod:
    return replace(pod, agenda=(*pod.agenda, (at, what)))


def _planned(pod: Pod, what: Due) -> bool:
    return any(entry[1] is what for entry in pod.agenda)


def _drop(pod: Pod, *what: Due) -> Pod:
    return replace(pod, agenda=tuple(entry for entry in pod.agenda if entry[1] not in what))


def _tick(pod: Pod, now: int) -> Step:
    """What is due, in the order of its instants: the pod's own entries before its containers' at the same one."""
    effects: tuple[Effect, ...] = ()
    while (at := due(pod)) is not None and at <= now and not pod.gone:
        own = min(pod.agenda, default=None)
        if own is not None and own[0] <= at:
            index = pod.agenda.index(own)
            pod = replace(pod, agenda=pod.agenda[:index] + pod.agenda[index + 1 :])
            pod, more = _DUE[own[1]](pod, at)
        else:
            first = next(one for one in pod.containers if life.due(one) == at)
            pod, more = _moved(pod, first, life.step(first, Tick(), at), at)
        effects += more
        pod, more = _settle(pod, at)
        effects += more
    return pod, effects


# its containers


def _moved(pod: Pod, before: Container, change: life.Step, now: int) -> Step:
    """One container's step; what it reports are the pod's milestones if it serves, else facts about the pod."""
    after, effects = change
    name = before.name
    pod = replace(pod, containers=tuple(after if one is before else one for one in pod.containers))
    if before.phase is Phase.RUNNING and after.phase is not Phase.RUNNING and pod.deleted is not None:
        pod = _plan(pod, now + pod.delays.turn, Due.TURN)
    if after.started and not before.started and pod.deleted is None:
        pod = replace(pod, worker=podworker.synced(pod.worker, now))
        if pod.delays.relist is not None:
            pod = _plan(pod, now + pod.delays.unnoticed(now), Due.NOTICE)
    if name != pod.spec.serving:
        return pod, tuple(_aside(name, effect) for effect in effects)
    if after.phase is not Phase.RUNNING:
        pod = _drop(replace(pod, listening=False), Due.STATUS)
    elif after.started and not before.started and not pod.addressed and not _planned(pod, Due.STATUS):
        pod = _plan(pod, now + pod.delays.unnoticed(now) + pod.delays.status, Due.STATUS)
    return pod, effects


def _aside(name: str, effect: Effect) -> Effect:
    """A milestone of a container that does not serve is a fact about its pod."""
    if isinstance(effect, Report):
        return Report(Fact.POD_FACT, {f"container {name}: {effect.what.value}": dict(effect.detail)})
    return effect


def _settle(pod: Pod, now: int) -> Step:
    """What follows from how the containers are: the next ones start, the condition Ready, the pod's end."""
    if not pod.containers or pod.over:
        return pod, ()
    if pod.deleted is not None and all(one.ended for one in pod.containers):
        return _finish(pod, now), ()
    if pod.deleted is None and _startable(pod) and not _planned(pod, Due.RUN):
        pod = _plan(pod, _next_sync(pod, now) + pod.delays.next_container, Due.RUN)
    return _condition(pod, now, ready=_all_ready(pod))


def _next_sync(pod: Pod, now: int) -> int:
    """When the kubelet starts what comes next: it is told of a startup probe's success, all else it has to notice."""
    if any(one.spec.startup is not None and one.phase is Phase.RUNNING for one in pod.containers):
        return podworker.done(pod.worker, now)
    return now + pod.delays.unnoticed(now)


def _notice(pod: Pod, now: int) -> Step:
    """A relist has seen that a container started; of the first one it sees the sandbox too, which is one more event."""
    times = 2 if sum(one.started or bool(one.ends) for one in pod.containers) == 1 else 1
    for _ in range(times):
        pod = replace(pod, worker=podworker.woken(pod.worker, now))
    return pod, ()


def _startable(pod: Pod) -> tuple[Container, ...]:
    """The containers whose turn to start has come: the next of the init ones, else all main ones."""
    for one in pod.containers:
        if one.spec.role is Role.MAIN:
            continue
        if one.phase is Phase.PENDING:
            return (one,)
        if not (one.up or one.ends if one.spec.role is Role.SIDECAR else one.phase is Phase.EXITED):
            return ()
    return tuple(one for one in pod.containers if one.phase is Phase.PENDING)


def _run(pod: Pod, now: int) -> Step:
    effects: tuple[Effect, ...] = ()
    for one in _startable(pod):
        pod, more = _moved(pod, one, life.begin(one), now)
        effects += more
    return pod, effects


def _all_ready(pod: Pod) -> bool:
    return all(one.phase is Phase.EXITED if one.spec.role is Role.INIT else one.ready for one in pod.containers)


def _condition(pod: Pod, now: int, *, ready: bool) -> Step:
    """The condition Ready changes; the EndpointSlice follows."""
    if ready == pod.ready:
        return pod, ()
    pod = replace(pod, ready=ready, worker=podworker.woken(pod.worker, now))
    pod = _plan(pod, now + pod.delays.ready_to_slice, Due.SLICE)
    report: tuple[Effect, ...] = (Report(Milestone.READY),) if ready and pod.deleted is None else ()
    return pod, (*report, ConditionReady(ready))


def _listening(pod: Pod, listening: bool) -> Step:
    if listening == pod.listening:
        return pod, ()
    what = Milestone.LISTENING if listening else Milestone.LISTENER_CLOSED
    return replace(pod, listening=listening), (Report(what),)


# its endpoint


def _status(pod: Pod, now: int) -> Step:
    """The kubelet has reported the pod's address."""
    return (pod, ()) if pod.addressed or pod.phase is not Phase.RUNNING else _slice(pod, now)


def _slice(pod: Pod, _: int) -> Step:
    """The EndpointSlice controller has seen the pod as it is now."""
    terminating, always = pod.deleted is not None, pod.spec.publish_not_ready
    endpoint = conditions(pod.name, ready=pod.ready, terminating=terminating, publish_not_ready=always)
    detail = {"serving": endpoint.serving, "terminating": endpoint.terminating}
    report: tuple[Effect, ...] = ()
    if endpoint.ready:
        report = (Report(Milestone.ENDPOINT_READY),)
    elif endpoint.terminating and not pod.unready:
        report = (Report(Milestone.ENDPOINT_NOT_READY, detail),)
    left = endpoint.terminating and not endpoint.ready
    return replace(pod, addressed=True, unready=left), (Publish(endpoint), *report)


# its end


def _deleted(pod: Pod, now: int, grace: int) -> Step:
    if pod.deleted is not None:
        return pod, ()
    report: tuple[Effect, ...] = (Report(Milestone.DELETION_REQUESTED, {"grace_ns": grace}),)
    pod = _drop(replace(pod, deleted=now, spec=replace(pod.spec, grace=grace)), Due.RUN, Due.STATUS, Due.NOTICE)
    if pod.addressed:
        withdrawn = grace == 0  # the object goes at once, and its endpoint with it
        pod = _plan(pod, now + pod.delays.deletion_to_slice, Due.WITHDRAW if withdrawn else Due.SLICE)
    for one in pod.containers:
        if one.phase is not Phase.RUNNING:
            pod, more = _moved(pod, one, life.stop(one, now, grace), now)
            report += more
    return _plan(pod, podworker.free(pod.worker, now) + pod.delays.deletion_to_stop, Due.STOP), report


def _stop(pod: Pod, now: int) -> Step:
    """The kubelet stops every container at once; a sidecar's signal waits for its turn."""
    effects: tuple[Effect, ...] = ()
    for one in pod.containers:
        waits = bool(_before(pod, one))
        pod, more = _moved(pod, one, life.stop(one, now, pod.spec.grace, waits=waits), now)
        effects += more
    return pod, effects


def _before(pod: Pod, one: Container) -> tuple[Container, ...]:
    """Who must have ended before this container gets its stop signal, and has not."""
    if one.spec.role is not Role.SIDECAR:
        return ()
    place = pod.containers.index(one)
    later = (each for n, each in enumerate(pod.containers) if n > place or each.spec.role is Role.MAIN)
    return tuple(each for each in later if each.phase is not Phase.EXITED)


def _turn(pod: Pod, now: int) -> Step:
    """A container had ended: whoever waited for that alone gets its stop signal."""
    effects: tuple[Effect, ...] = ()
    for one in pod.containers:
        if one.waits and not _before(pod, one):
            pod, more = _moved(pod, one, life.turn(one, now), now)
            effects += more
    return pod, effects


def _finish(pod: Pod, now: int) -> Pod:
    """Nothing of it runs and no hook is waited for: the sandbox goes, then the endpoint, then the object."""
    pod = _plan(_drop(replace(pod, over=True), Due.STOP, Due.TURN), now + pod.delays.exit_to_silence, Due.SILENCE)
    if pod.addressed:
        pod = _plan(pod, now + pod.delays.exit_to_slice, Due.WITHDRAW)
    ended = now + pod.delays.exit_to_ended
    return _plan(pod, ended + pod.delays.unnoticed(ended) + pod.delays.ended_to_gone, Due.GONE)


def _silence(pod: Pod, _: int) -> Step:
    return pod, (Silence(),)


def _withdraw(pod: Pod, now: int) -> Step:
    if not pod.addressed:
        return pod, ()
    fact = Report(Fact.POD_FACT, {"withdrawn_at": now})
    detail = {"serving": False, "terminating": True}
    report: tuple[Effect, ...] = () if pod.unready else (Report(Milestone.ENDPOINT_NOT_READY, detail),)
    return _drop(replace(pod, addressed=False, unready=True), Due.SLICE), (Withdraw(), fact, *report)


def _gone(pod: Pod, _: int) -> Step:
    return replace(pod, gone=True, agenda=()), (Report(Milestone.GONE),)


_DUE: dict[Due, Callable[[Pod, int], Step]] = {
    Due.RUN: _run,
    Due.NOTICE: _notice,
    Due.STATUS: _status,
    Due.SLICE: _slice,
    Due.STOP: _stop,
    Due.TURN: _turn,
    Due.SILENCE: _silence,
    Due.WITHDRAW: _withdraw,
    Due.GONE: _gone,
}
