"""A probe: when to ask, and when its answer counts.

Law (kubelet ``prober/worker.go``): a container is not ready until `success_threshold` probes in a row succeeded, and
stays ready until `failure_threshold` in a row failed. Probes keep to a grid of `period` from the first one; one that
takes longer than a period makes the grid skip, never catch up. They go on while the pod terminates.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from lameduck.core.instants import SECOND


@dataclass(frozen=True, slots=True)
class ProbeSpec:
    """What to ask and how: an HTTP path, a command, or neither for a plain TCP connect. Durations in nanoseconds."""

    path: str = ""
    """With the scheme ``grpc`` the service that its health is asked about."""
    port: int = 0
    """0: the one that the Service targets."""
    command: tuple[str, ...] = ()
    """Of an exec probe, run in the container."""
    headers: tuple[tuple[str, str], ...] = ()
    period: int = 1 * SECOND
    timeout: int = 1 * SECOND
    initial_delay: int = 0
    success_threshold: int = 1
    failure_threshold: int = 3
    scheme: str = ""
    """``https`` (no certificate is verified) or ``grpc``; "" for plain HTTP or TCP."""


@dataclass(frozen=True, slots=True)
class Probe:
    """A probe's state. `next` is the instant of the next question, None while one is under way."""

    spec: ProbeSpec
    next: int | None
    grid: int
    """An instant of the grid that the questions keep to."""
    ready: bool = False
    streak: int = 0
    """How many answers in a row were like the last one."""
    last: bool = False
    message: str = ""
    """Why the last probe failed, in words; "" if it succeeded or there was none."""


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed."""


@dataclass(frozen=True, slots=True)
class Answered:
    """The probe under way ended."""

    ok: bool
    message: str = ""


@dataclass(frozen=True, slots=True)
class Ask:
    """Probe now."""


@dataclass(frozen=True, slots=True)
class ReadyChanged:
    """The container became ready, or stopped being so."""

    ready: bool


Event = Tick | Answered
Effect = Ask | ReadyChanged


def begin(spec: ProbeSpec, started: int, phase: int, credit: int = 0) -> Probe:
    """The probe of a container that started at an instant, and whose worker first looks `phase` (ns) later.

    Then it looks once in a period, and asks when it looks and the initial delay is over, of which `credit` (ns) was
    over at the start: not at its very end.
    """
    missing = max(0, spec.initial_delay - credit - phase)
    first = started + phase + -(-missing // spec.period) * spec.period
    return Probe(spec, first, first)


def given_up(probe: Probe) -> bool:
    """Whether it never succeeded and failed too often: what a startup probe has to say."""
    return not probe.ready and not probe.last and probe.streak >= probe.spec.failure_threshold


def step(probe: Probe, event: Event, now: int) -> tuple[Probe, tuple[Effect, ...]]:
    """The probe after an event, and what to do."""
    match event:
        case Answered(ok, message):
            return _answered(probe, ok, message, now)
        case Tick() if probe.next is not None and now >= probe.next:
            return replace(probe, next=None, grid=probe.next), (Ask(),)
        case Tick():
            return probe, ()


def _answered(probe: Probe, ok: bool, message: str, now: int) -> tuple[Probe, tuple[Effect, ...]]:
    if probe.next is not None:  # nobody asked: an answer from before a restart
        return probe, ()
    period = probe.spec.period
    following = probe.grid + period * max(1, -(-(now - probe.grid) // period))
    streak = probe.streak + 1 if ok == probe.last or probe.streak == 0 else 1
    probe = replace(probe, next=following, streak=streak, last=ok, message=message)
    enough = streak >= (probe.spec.success_threshold if ok else probe.spec.failure_threshold)
    if enough and ok != probe.ready:
        return replace(probe, ready=ok), (ReadyChanged(ok),)
    return probe, ()
