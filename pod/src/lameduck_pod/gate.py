"""When does a server that was told to stop let its own stop run? A pure decision.

    READY ── stop, or heard that the pod drains ──► LAME_DUCK ── the routers have heard ──► DRAINING
      ▲                                               │ │                                     │
      └── released: no stop came after all ───────────┘ └───────────► CLOSED ◄────────────────┘

In every phase the server accepts and answers; from LAME_DUCK on it asks, with each answer, to be sent nothing more on
that connection. CLOSED is where its own stop begins.

Laws: a phase is never taken back, but LAME_DUCK and DRAINING to READY while no stop has come. CLOSED needs a stop.
Without a second signal and before the end of the budget it also needs: `least` since the lame duck began, nothing in
hand, and `quiet` without a client's request. At the end of the budget it is CLOSED whatever is in hand. Times are
CLOCK_MONOTONIC in nanoseconds; `least` covers the propagation of an endpoint's removal (KEP-1669: connections still
come, to a terminating pod, until every kube-proxy has heard).
"""

from __future__ import annotations

from typing import NamedTuple, Union

from lameduck_pod.spans import SECOND

READY, LAME_DUCK, DRAINING, CLOSED = "ready", "lame duck", "draining", "closed"
PHASES = (READY, LAME_DUCK, DRAINING, CLOSED)
SAME_STOP = SECOND // 10
"""A second signal so soon is the same stop: a process group and its master both deliver it."""


class Rules(NamedTuple):
    """How long to wait for what, in nanoseconds."""

    least: int = 3 * SECOND
    """Never let the stop run earlier: routers need so long to hear of it."""
    quiet: int = SECOND
    """So long without a client's request: every kept-alive connection has been told or is not used."""
    most: int = 20 * SECOND
    """Never later than this after the stop signal."""
    tail: int = 11 * SECOND
    """What must be left of the pod's grace period when the stop runs, where a publisher says when that ends."""


class Stop(NamedTuple):
    """The stop signal; a second one means at once."""


class Heard(NamedTuple):
    """Somebody in this pod says that it drains; its grace period ends at `until`."""

    until: int


class Released(NamedTuple):
    """It does not drain after all."""


class Look(NamedTuple):
    """Time has passed: requests in hand, and when the last one of a client ended (0: none since the lame duck)."""

    in_flight: int
    last: int = 0


Event = Union[Stop, Heard, Released, Look]  # noqa: UP007  (evaluated, also on Python 3.9)


class State(NamedTuple):
    """Where it stands; instants in nanoseconds."""

    phase: str = READY
    lame_at: int | None = None
    stop_at: int | None = None
    until: int | None = None
    why: str = ""
    """Why it is CLOSED, for people."""
    calm: bool = False
    """CLOSED with nothing in hand, and in time: connections may be ended one by one before the server's own stop."""


def step(state: State, event: Event, now: int, rules: Rules) -> State:
    """The next state. What there is to do follows from the phase alone."""
    if state.phase == CLOSED:
        return state
    if isinstance(event, Stop):
        return _stop(state, now)
    if isinstance(event, Heard):
        return _lame(state, now)._replace(until=event.until)
    if isinstance(event, Released):
        return State() if state.stop_at is None else state._replace(until=None)
    return _look(state, event, now, rules)


def _lame(state: State, now: int) -> State:
    return state._replace(phase=LAME_DUCK, lame_at=now) if state.phase == READY else state


def _stop(state: State, now: int) -> State:
    if state.stop_at is None:
        return _lame(state, now)._replace(stop_at=now)
    if now - state.stop_at < SAME_STOP:
        return state
    return state._replace(phase=CLOSED, why="a second signal came")


def _look(state: State, look: Look, now: int, rules: Rules) -> State:
    if state.lame_at is None:
        return state
    if state.stop_at is not None and now >= end(state, rules):
        return state._replace(phase=CLOSED, why=f"the time was over, with {look.in_flight} requests in hand")
    if now < state.lame_at + rules.least:
        return state
    quiet = not look.in_flight and now >= max(state.lame_at, look.last) + rules.quiet
    if state.stop_at is not None and quiet:
        return state._replace(phase=CLOSED, why="nothing in hand, and no client speaks any more", calm=True)
    return state._replace(phase=DRAINING)


def end(state: State, rules: Rules) -> int:
    """When the stop must run at the latest; needs a stop."""
    assert state.stop_at is not None
    mine = state.stop_at + rules.most
    return mine if state.until is None else min(mine, max(state.stop_at, state.until - rules.tail))
