"""The gate: its table, and its laws over any sequence of events."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lameduck_pod import gate
from lameduck_pod.gate import CLOSED, DRAINING, LAME_DUCK, READY, Heard, Look, Released, Rules, State, Stop, step

RULES = Rules(least=30, quiet=10, most=100, tail=20)
HOUR = 3_600_000_000_000


def after(*events: tuple[int, gate.Event], rules: Rules = RULES) -> State:
    state = State()
    for now, event in events:
        state = step(state, event, now, rules)
    return state


@pytest.mark.parametrize(
    ("events", "phase"),
    [
        ([], READY),
        ([(1, Look(5))], READY),
        ([(1, Stop())], LAME_DUCK),
        ([(1, Heard(HOUR))], LAME_DUCK),
        ([(1, Heard(HOUR)), (2, Released())], READY),
        ([(1, Heard(HOUR)), (40, Look(1)), (41, Released())], READY),
        ([(1, Stop()), (2, Released())], LAME_DUCK),
        ([(1, Stop()), (30, Look(0))], LAME_DUCK),
        ([(1, Stop()), (31, Look(0))], CLOSED),
        ([(1, Stop()), (31, Look(1))], DRAINING),
        ([(1, Stop()), (31, Look(1)), (45, Look(0, 44))], DRAINING),
        ([(1, Stop()), (31, Look(1)), (54, Look(0, 44))], CLOSED),
        ([(1, Stop()), (100, Look(1))], DRAINING),
        ([(1, Stop()), (101, Look(1))], CLOSED),
        ([(1, Stop()), (1 + gate.SAME_STOP - 1, Stop())], LAME_DUCK),
        ([(1, Stop()), (1 + gate.SAME_STOP, Stop())], CLOSED),
        ([(1, Heard(HOUR)), (200, Look(0))], DRAINING),
        ([(1, Heard(HOUR)), (50, Stop()), (50, Look(0, 30))], CLOSED),
        ([(1, Heard(100)), (50, Stop()), (79, Look(1))], DRAINING),
        ([(1, Heard(100)), (50, Stop()), (80, Look(1))], CLOSED),
        ([(1, Heard(60)), (50, Stop()), (50, Look(1))], CLOSED),
        ([(1, Stop()), (101, Look(1)), (102, Released())], CLOSED),
    ],
)
def test_the_table(events: list[tuple[int, gate.Event]], phase: str) -> None:
    assert after(*events).phase == phase


EVENTS = st.one_of(
    st.just(Stop()),
    st.just(Released()),
    st.builds(Heard, st.integers(0, HOUR)),
    st.builds(Look, st.integers(0, 3), st.integers(0, 400)),
)
HISTORIES = st.lists(st.tuples(st.integers(0, 60_000_000), EVENTS), max_size=30)


def told(history: list[tuple[int, gate.Event]]) -> list[tuple[int, gate.Event, State, State]]:
    now, state, steps = 0, State(), []
    for wait, event in history:
        now += wait
        before, state = state, step(state, event, now, RULES)
        steps.append((now, event, before, state))
    return steps


@given(HISTORIES)
def test_a_phase_is_taken_back_only_by_a_release_and_only_while_no_stop_has_come(history) -> None:
    for _, event, before, state in told(history):
        if gate.PHASES.index(state.phase) < gate.PHASES.index(before.phase):
            assert isinstance(event, Released)
            assert before.stop_at is None
            assert state == State()


@given(HISTORIES)
def test_the_stop_runs_early_only_when_asked_twice_and_never_with_work_in_hand_before_the_end(history) -> None:
    for now, event, before, state in told(history):
        if state.phase == CLOSED and before.phase != CLOSED:
            assert state.stop_at is not None
            if isinstance(event, Look) and now < gate.end(before, RULES):
                assert event.in_flight == 0
                assert now >= before.lame_at + RULES.least
                assert now >= event.last + RULES.quiet


@given(HISTORIES)
def test_it_is_never_held_longer_than_most(history) -> None:
    for now, event, before, state in told(history):
        if isinstance(event, Look) and before.stop_at is not None and now >= before.stop_at + RULES.most:
            assert state.phase == CLOSED


@given(HISTORIES)
def test_without_a_stop_it_is_never_closed(history) -> None:
    for _, _, _, state in told([(now, e) for now, e in history if not isinstance(e, Stop)]):
        assert state.phase != CLOSED
