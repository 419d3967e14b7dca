"""When a readiness probe asks, and when its answers count."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lameduck.core.instants import MILLISECOND, SECOND
from lameduck.core.probes import Answered, Ask, Probe, ProbeSpec, ReadyChanged, Tick, begin, step


def run(spec: ProbeSpec, answers: list[bool], takes: int = 0) -> list[tuple[int, bool]]:
    """(index of the answer, ready) for each change, with every answer `takes` later."""
    probe, changes = begin(spec, 0, 0), []
    for index, ok in enumerate(answers):
        assert probe.next is not None
        at = probe.next
        probe, effects = step(probe, Tick(), at)
        assert effects == (Ask(),)
        probe, effects = step(probe, Answered(ok), at + takes)
        changes += [(index, effect.ready) for effect in effects if isinstance(effect, ReadyChanged)]
    return changes


@pytest.mark.parametrize(
    ("success", "failure", "answers", "changes"),
    [
        (1, 3, "ssss", [(0, True)]),
        (1, 3, "fffs", [(3, True)]),  # not ready from the start: failures change nothing
        (1, 3, "sff", [(0, True)]),
        (1, 3, "sfff", [(0, True), (3, False)]),
        (1, 3, "sffsff", [(0, True)]),  # the streak was broken
        (1, 1, "sfsf", [(0, True), (1, False), (2, True), (3, False)]),
        (2, 1, "sfss", [(3, True)]),
        (2, 3, "fss", [(2, True)]),
        (3, 3, "ss", []),
        (1, 3, "sffff", [(0, True), (3, False)]),
    ],
)
def test_an_answer_counts_after_as_many_alike_in_a_row_as_its_threshold_says(
    success: int, failure: int, answers: str, changes: list[tuple[int, bool]]
) -> None:
    spec = ProbeSpec(success_threshold=success, failure_threshold=failure)
    assert run(spec, [a == "s" for a in answers]) == changes


@pytest.mark.parametrize(
    ("initial_delay", "phase", "first"),
    [(0, 0, 0), (0, 430, 430), (2_000, 430, 2_430), (1_430, 430, 1_430), (300, 430, 430)],
)
def test_the_first_question_waits_for_the_workers_clock_and_the_initial_delay(
    initial_delay: int, phase: int, first: int
) -> None:
    probe = begin(ProbeSpec(initial_delay=initial_delay * MILLISECOND), 5 * SECOND, phase * MILLISECOND)
    assert probe.next == 5 * SECOND + first * MILLISECOND
    assert step(probe, Tick(), probe.next - 1) == (probe, ())


def asked(at: int) -> Probe:
    probe, effects = step(begin(ProbeSpec(), 0, 0), Tick(), at)
    assert effects == (Ask(),)
    return probe


@pytest.mark.parametrize(
    ("answered", "following"),
    [(1, 1_000), (999, 1_000), (1_000, 1_000), (1_001, 2_000), (2_500, 3_000), (3_000, 3_000)],
)
def test_questions_keep_to_their_grid_and_one_that_takes_long_skips_a_beat(answered: int, following: int) -> None:
    probe, _ = step(asked(0), Answered(ok=True), answered * MILLISECOND)
    assert probe.next == following * MILLISECOND


def test_a_tick_that_comes_late_does_not_move_the_grid() -> None:
    probe, _ = step(asked(40 * MILLISECOND), Answered(ok=True), 50 * MILLISECOND)
    assert probe.next == SECOND


def test_nothing_is_asked_while_an_answer_is_awaited_and_an_answer_nobody_awaits_is_dropped() -> None:
    probe = asked(0)
    assert step(probe, Tick(), 10 * SECOND) == (probe, ())
    answered, _ = step(probe, Answered(ok=True), 1)
    assert step(answered, Answered(ok=False, message="late"), 2) == (answered, ())


def test_the_last_failures_words_are_kept_until_a_success() -> None:
    probe, _ = step(asked(0), Answered(ok=False, message="answered 503"), 1)
    assert probe.message == "answered 503"
    probe, _ = step(probe, Tick(), SECOND)
    probe, _ = step(probe, Answered(ok=True), SECOND + 1)
    assert probe.message == ""


@given(st.integers(1, 4), st.integers(1, 4), st.lists(st.booleans(), max_size=40), st.integers(0, 3 * SECOND))
def test_ready_follows_the_last_run_that_was_long_enough(
    success: int, failure: int, answers: list[bool], takes: int
) -> None:
    spec = ProbeSpec(success_threshold=success, failure_threshold=failure)
    expected, ready, streak = [], False, 0
    for index, ok in enumerate(answers):
        streak = streak + 1 if index and ok == answers[index - 1] else 1
        if ok != ready and streak >= (success if ok else failure):
            ready = ok
            expected.append((index, ok))
    assert run(spec, answers, takes) == expected
