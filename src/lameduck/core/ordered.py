"""How a StatefulSet creates, replaces and gives up its pods: by ordinal, one at a time, each under its own name.

Laws (``pkg/controller/statefulset/stateful_set_control.go``): a missing pod is created when the one before it is
available (``OrderedReady``), or at once (``Parallel``); an update deletes the highest ordinal that is not of the new
revision, and waits until its successor is available before it goes on; ordinals below the partition stay; a scale-down
deletes the highest. A name is used again, so a pod is created only when its predecessor of that name is gone: for us
each life has a number of its own behind the name, since one pod's history is not the next one's.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from lameduck.core.rolling import (
    Completed,
    Create,
    Delete,
    Deleted,
    Effect,
    Event,
    Expect,
    Gone,
    Member,
    ReadyChanged,
    Roll,
    Running,
    Scale,
    Strategy,
    Stuck,
    Tick,
    available,
    leave,
    noted,
)


@dataclass(frozen=True, slots=True)
class StatefulSet:
    """A StatefulSet and its pods. Of `strategy` only `min_ready` and `progress_deadline` count (the latter is ours)."""

    name: str
    replicas: int
    strategy: Strategy = field(default_factory=Strategy)
    parallel: bool = False
    partition: int = 0
    revision: int = 0
    members: tuple[Member, ...] = ()
    leaving: tuple[str, ...] = ()
    """Pods that were deleted and are not gone yet."""
    lives: tuple[int, ...] = ()
    """How many pods each ordinal has had."""
    progressed: int = 0
    rolling: bool = False
    at: int = 0
    """The instant of the last step."""


def ordinal(pod: str) -> int:
    """A pod's ordinal: ``web-2.1`` is the first life of number 2."""
    return int(pod.rpartition("-")[2].partition(".")[0])


def due(state: StatefulSet) -> int | None:
    """The instant at which the state wants its next `Tick`, if nothing happens before; None if never."""
    waits = (m.ready_since + state.strategy.min_ready for m in state.members if m.ready_since is not None)
    later = [at for at in waits if at > state.at]
    if state.rolling:
        later.append(state.progressed + state.strategy.progress_deadline)
    return min(later, default=None)


def step(state: StatefulSet, event: Event, now: int) -> tuple[StatefulSet, tuple[Effect, ...]]:
    """The StatefulSet after an event, and the pods to create and delete, in order."""
    before = (state.members, state.leaving)
    state = _apply(replace(state, at=now), event, now)
    effects: tuple[Effect, ...] = ()
    while (more := _next(state, now)) is not None:
        state, effect = more
        effects += (effect,)
    if (state.members, state.leaving) != before:
        state = replace(state, progressed=now)
    return _progress(state, effects, now)


def _apply(state: StatefulSet, event: Event, now: int) -> StatefulSet:
    match event:
        case Roll():
            return replace(state, revision=state.revision + 1, rolling=True, progressed=now)
        case Scale(replicas):
            return replace(state, replicas=replicas, rolling=True, progressed=now)
        case Expect():
            return replace(state, rolling=True, progressed=now)
        case Running() | ReadyChanged() | Deleted() | Gone() | Tick():
            return noted(state, event, now)


def _next(state: StatefulSet, now: int) -> tuple[StatefulSet, Effect] | None:
    """The one thing to do next, None when there is nothing to do but to wait."""
    pods = {ordinal(m.name): m for m in state.members}
    going = {ordinal(pod) for pod in state.leaving}
    for number in range(state.replicas):
        healthy = number in pods and available(pods[number], state.strategy.min_ready, now)
        if number not in pods and number not in going:
            return _create(state, number, now)
        if not healthy and not state.parallel:
            break
    condemned = [number for number in sorted(pods, reverse=True) if number >= state.replicas]
    if condemned:
        waits = going and not state.parallel
        return None if waits else _delete(state, pods[condemned[0]].name)
    for number in range(state.replicas - 1, state.partition - 1, -1):
        if number not in pods:
            return None
        if pods[number].revision != state.revision:
            return None if going else _delete(state, pods[number].name)
        if not available(pods[number], state.strategy.min_ready, now):
            return None
    return None


def _create(state: StatefulSet, number: int, now: int) -> tuple[StatefulSet, Effect]:
    lives = [*state.lives, *[0] * (number + 1 - len(state.lives))]
    lives[number] += 1
    pod = f"{state.name}-{number}.{lives[number]}"
    revision = state.revision if number >= state.partition else min(1, state.revision)
    member = Member(pod, revision, now)
    return replace(state, lives=tuple(lives), members=(*state.members, member)), Create(pod, revision)


def _delete(state: StatefulSet, pod: str) -> tuple[StatefulSet, Effect]:
    return leave(state, pod), Delete(pod)


def _progress(state: StatefulSet, effects: tuple[Effect, ...], now: int) -> tuple[StatefulSet, tuple[Effect, ...]]:
    if not state.rolling:
        return state, effects
    there = [m for m in state.members if available(m, state.strategy.min_ready, now)]
    old = any(m.revision != state.revision and ordinal(m.name) >= state.partition for m in state.members)
    if len(there) == len(state.members) == state.replicas and not old and not state.leaving:
        return replace(state, rolling=False), (*effects, Completed(state.revision))
    if now >= state.progressed + state.strategy.progress_deadline:
        return replace(state, rolling=False), (*effects, Stuck(state.revision))
    return state, effects
