"""How a Deployment replaces its pods: how many of which revision, and which one goes next.

Laws (``pkg/controller/deployment`` and ``replicaset`` of Kubernetes): `max_surge` rounds up, `max_unavailable` down,
both zero makes the latter 1 (``ResolveFenceposts``); the new revision grows while all revisions together stay within
replicas + surge (``NewRSNewReplicas``); old ones shrink only as far as the *available* pods allow, unhealthy old pods
first and oldest revision first (``rolling.go``); a ReplicaSet gives up pods that are not running, then not ready, then
the youngest by powers of two of their age (``ActivePodsWithRanks``). A pod is *available* once it has been ready for
`min_ready`. Terminating pods count nowhere, but a rollout is over for us only when they are gone. ``Recreate`` waits
for that too (``recreate.go``), and so does a DaemonSet on its node (``daemon_controller.go``), which is otherwise a
Deployment of one pod: old one first, or with maxSurge 1 the new one.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Protocol, TypeVar

from lameduck.core.instants import SECOND

_SUFFIX = "bcdfghjklmnpqrstvwxz2456789"
"""The letters that Kubernetes makes names of: no vowels, hence no words."""


@dataclass(frozen=True, slots=True)
class Strategy:
    """``strategy.rollingUpdate`` and its neighbours; durations in nanoseconds, amounts as a number or ``"25%"``."""

    max_surge: int | str = "25%"
    max_unavailable: int | str = "25%"
    min_ready: int = 0
    progress_deadline: int = 600 * SECOND
    recreate: bool = False
    """``type: Recreate``: no new pod before every old one is gone."""
    one_per_node: bool = False
    """A DaemonSet's: where a pod is terminating no other one is created."""


@dataclass(frozen=True, slots=True)
class Member:
    """A pod that the Deployment counts: not terminating. Instants; `ready_since` is None while it is not ready."""

    name: str
    revision: int
    created: int
    running: bool = False
    ready_since: int | None = None


@dataclass(frozen=True, slots=True)
class Deployment:
    """A Deployment with its ReplicaSets. `desired` is each revision's ``spec.replicas``, oldest revision first."""

    name: str
    replicas: int
    strategy: Strategy = field(default_factory=Strategy)
    seed: int = 0
    revision: int = 0
    desired: tuple[tuple[int, int], ...] = ()
    members: tuple[Member, ...] = ()
    leaving: tuple[str, ...] = ()
    """Pods that were deleted and are not gone yet."""
    serial: int = 0
    """How many pods were created so far."""
    progressed: int = 0
    """When the rollout last got further (an instant)."""
    best: tuple[int, int, int] = (0, 0, 0)
    """The furthest so far: new pods created, fewest old pods (negated), new pods available."""
    rolling: bool = False
    at: int = 0
    """The instant of the last step."""


@dataclass(frozen=True, slots=True)
class Roll:
    """The pod template changed (or ``kubectl rollout restart``): a new revision is wanted."""


@dataclass(frozen=True, slots=True)
class Scale:
    """So many replicas are wanted from now on."""

    replicas: int


@dataclass(frozen=True, slots=True)
class Expect:
    """Say `Completed` once everything is as it should be: somebody disturbed it."""


@dataclass(frozen=True, slots=True)
class Running:
    """A pod's container runs."""

    pod: str


@dataclass(frozen=True, slots=True)
class ReadyChanged:
    """A pod's condition Ready changed."""

    pod: str
    ready: bool


@dataclass(frozen=True, slots=True)
class Deleted:
    """Somebody deleted a pod: it is terminating."""

    pod: str


@dataclass(frozen=True, slots=True)
class Gone:
    """A pod's object is gone."""

    pod: str


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed."""


@dataclass(frozen=True, slots=True)
class Create:
    """Create a pod of this name and revision."""

    pod: str
    revision: int


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete this pod."""

    pod: str


@dataclass(frozen=True, slots=True)
class Completed:
    """The rollout to this revision is over: all replicas available, every other pod gone."""

    revision: int


@dataclass(frozen=True, slots=True)
class Stuck:
    """The rollout to this revision got no further within ``progressDeadlineSeconds``."""

    revision: int


Event = Roll | Scale | Expect | Running | ReadyChanged | Deleted | Gone | Tick
Effect = Create | Delete | Completed | Stuck


def fenceposts(replicas: int, max_surge: int | str, max_unavailable: int | str) -> tuple[int, int]:
    """How many pods may be too many, and how many may be missing.

    Raises `ValueError` for anything but a number ≥ 0 or a percentage.
    """
    surge = _resolve(max_surge, replicas, up=True)
    unavailable = _resolve(max_unavailable, replicas, up=False)
    if surge == 0 and unavailable == 0:
        unavailable = 1
    return surge, min(unavailable, replicas)


def _resolve(amount: int | str, replicas: int, *, up: bool) -> int:
    text = str(amount).strip()
    digits = text.removesuffix("%")
    if not (digits.isascii() and digits.isdigit()):
        raise ValueError(f"{text!r} is neither a number of pods nor a percentage like 25%")
    if digits == text:
        return int(text)
    return (int(digits) * replicas + (99 if up else 0)) // 100


def pod_name(name: str, revision: int, seed: int, serial: int) -> str:
    """A pod's name as Kubernetes would make it: the same for the same seed, different for every serial number."""
    base = len(_SUFFIX)
    mixed = (serial * 7_654_321 + seed * 2_246_822_519 + 374_761_393) % base**5
    letters = []
    for _ in range(5):
        mixed, digit = divmod(mixed, base)
        letters.append(_SUFFIX[digit])
    return f"{name}-{revision}-{''.join(letters)}"


def available(member: Member, min_ready: int, now: int) -> bool:
    """Whether a pod has been ready for long enough (``minReadySeconds``)."""
    return member.ready_since is not None and now >= member.ready_since + min_ready


def due(state: Deployment) -> int | None:
    """The instant at which the state wants its next `Tick`, if nothing happens before; None if never."""
    strategy = state.strategy
    waits = (m.ready_since + strategy.min_ready for m in state.members if m.ready_since is not None)
    later = [at for at in waits if at > state.at]
    if state.rolling:
        later.append(state.progressed + strategy.progress_deadline)
    return min(later, default=None)


def step(state: Deployment, event: Event, now: int) -> tuple[Deployment, tuple[Effect, ...]]:
    """The Deployment after an event, and the pods to create and delete, in order."""
    state, effects = _reconcile(_apply(replace(state, at=now), event, now), now)
    state, more = _progress(state, now)
    return state, effects + more


def _apply(state: Deployment, event: Event, now: int) -> Deployment:
    match event:
        case Roll():
            revision = state.revision + 1
            kept = tuple((r, n) for r, n in state.desired if n)
            return replace(
                state,
                revision=revision,
                desired=(*kept, (revision, 0)),
                rolling=True,
                progressed=now,
                best=(0, -sum(n for _, n in kept), 0),
            )
        case Scale(replicas):
            return replace(state, replicas=replicas, rolling=True, progressed=now, best=(0, -(1 << 30), 0))
        case Expect():
            return replace(state, rolling=True, progressed=now, best=(0, -(1 << 30), 0))
        case Running() | ReadyChanged() | Deleted() | Gone() | Tick():
            return noted(state, event, now)


class _Owner(Protocol):
    """A frozen dataclass that owns pods: a Deployment, a StatefulSet."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def members(self) -> tuple[Member, ...]: ...

    @property
    def leaving(self) -> tuple[str, ...]: ...


Owner = TypeVar("Owner", bound=_Owner)


def noted(state: Owner, event: Running | ReadyChanged | Deleted | Gone | Tick, now: int) -> Owner:
    """The workload with what happened to one of its pods taken down: the same for whoever owns pods."""
    match event:
        case Running(pod):
            return _update(state, pod, running=True)
        case ReadyChanged(pod, ready):
            known = next((m for m in state.members if m.name == pod), None)
            if known is None or (known.ready_since is not None) == ready:
                return state
            return _update(state, pod, running=True, ready_since=now if ready else None)
        case Deleted(pod):
            return leave(state, pod)
        case Gone(pod):
            gone = leave(state, pod)
            return replace(gone, leaving=tuple(p for p in gone.leaving if p != pod))
        case Tick():
            return state


def _update(state: Owner, pod: str, **changes: object) -> Owner:
    members = tuple(replace(m, **changes) if m.name == pod else m for m in state.members)  # type: ignore[arg-type]
    return replace(state, members=members)


def leave(state: Owner, pod: str) -> Owner:
    """The workload without a member, which is going; unchanged where it has no such member."""
    rest = tuple(m for m in state.members if m.name != pod)
    if len(rest) == len(state.members):
        return state
    return replace(state, members=rest, leaving=(*state.leaving, pod))


def _reconcile(state: Deployment, now: int) -> tuple[Deployment, tuple[Effect, ...]]:
    """Scale and let the ReplicaSets follow, until nothing changes: the controllers' loops run to their rest."""
    effects: tuple[Effect, ...] = ()
    while True:
        before = state.desired
        state = replace(state, desired=_scaled(state, now))
        state, more = _follow(state, now)
        effects += more
        if state.desired == before and not more:
            return state, effects


def _scaled(state: Deployment, now: int) -> tuple[tuple[int, int], ...]:
    """One turn of the Deployment controller: the new revision up if it may grow, else old ones down."""
    wanted = dict(state.desired)
    if state.revision not in wanted:
        return state.desired
    surge, unavailable = fenceposts(state.replicas, state.strategy.max_surge, state.strategy.max_unavailable)
    new, total = wanted[state.revision], sum(wanted.values())
    if state.strategy.recreate and new < state.replicas:
        old = {revision: 0 for revision in wanted if revision != state.revision}
        there = any(m.revision != state.revision for m in state.members) or state.leaving
        return tuple({**wanted, **old, state.revision: new if there else state.replicas}.items())
    if new > state.replicas:
        wanted[state.revision] = state.replicas
    elif new < state.replicas and total < state.replicas + surge:
        wanted[state.revision] = new + min(state.replicas + surge - total, state.replicas - new)
    else:
        _shrink_old(state, wanted, state.replicas - unavailable, now)
    return tuple(wanted.items())


def _shrink_old(state: Deployment, wanted: dict[int, int], floor: int, now: int) -> None:
    """Unhealthy old pods first, then healthy ones as far as the available pods stay above the floor."""
    have = _available_by_revision(state, now)
    old = [r for r in wanted if r != state.revision]
    allowed = sum(wanted.values()) - floor - (wanted[state.revision] - have.get(state.revision, 0))
    cleaned = 0
    for revision in old if allowed > 0 else ():
        down = min(allowed - cleaned, max(0, wanted[revision] - have.get(revision, 0)))
        wanted[revision] -= down
        cleaned += down
    spare = sum(have.values()) - floor if allowed > 0 else 0
    for revision in old if spare > 0 else ():
        down = min(wanted[revision], spare)
        wanted[revision] -= down
        spare -= down


def _available_by_revision(state: Deployment, now: int) -> dict[int, int]:
    have: dict[int, int] = {}
    for m in state.members:
        if available(m, state.strategy.min_ready, now):
            have[m.revision] = have.get(m.revision, 0) + 1
    return have


def _follow(state: Deployment, now: int) -> tuple[Deployment, tuple[Effect, ...]]:
    """Each ReplicaSet creates what it lacks and deletes what it has too much, the least useful first."""
    effects: list[Effect] = []
    for revision, count in state.desired:
        mine = sorted((m for m in state.members if m.revision == revision), key=lambda m: deletion_rank(m, now))
        waits = state.strategy.one_per_node and state.leaving
        for _ in range(0 if waits else count - len(mine)):
            serial = state.serial + 1
            pod = pod_name(state.name, revision, state.seed, serial)
            state = replace(state, serial=serial, members=(*state.members, Member(pod, revision, now)))
            effects.append(Create(pod, revision))
        for member in mine[: max(0, len(mine) - count)]:
            state = leave(state, member.name)
            effects.append(Delete(member.name))
    return state, tuple(effects)


def deletion_rank(member: Member, now: int) -> tuple[bool, bool, int, str]:
    """Sorts a ReplicaSet's pods, first to go first: not running, not ready, young (by powers of two), then by name.

    The name stands for the random UID that Kubernetes compares last.
    """
    since = member.created if member.ready_since is None else member.ready_since
    return (member.running, member.ready_since is not None, max(0, now - since).bit_length(), member.name)


def _progress(state: Deployment, now: int) -> tuple[Deployment, tuple[Effect, ...]]:
    """Whether the rollout got further, is complete, or is stuck (``DeploymentProgressing``, ``DeploymentComplete``)."""
    if not state.rolling:
        return state, ()
    new = [m for m in state.members if m.revision == state.revision]
    old = len(state.members) - len(new)
    there = sum(available(m, state.strategy.min_ready, now) for m in new)
    if there == len(new) == state.replicas and not old and not state.leaving:
        return replace(state, rolling=False), (Completed(state.revision),)
    reached = (len(new), -old, there)
    if any(a > b for a, b in zip(reached, state.best, strict=True)):
        best = (max(reached[0], state.best[0]), max(reached[1], state.best[1]), max(reached[2], state.best[2]))
        return replace(state, best=best, progressed=now), ()
    if now >= state.progressed + state.strategy.progress_deadline:
        return replace(state, rolling=False), (Stuck(state.revision),)
    return state, ()
