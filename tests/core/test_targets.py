"""A target group that goes on sending after deregistration."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lameduck.core.endpoints import Event, InForce, Published, Tick, Withdrawn, conditions
from lameduck.core.instants import SECOND
from lameduck.core.targets import Targets, due, step

LAG = 120 * SECOND


def ready(pod: str) -> Published:
    return Published(conditions(pod, ready=True, terminating=False))


def going(pod: str) -> Published:
    return Published(conditions(pod, ready=True, terminating=True))


def run(*events: tuple[int, Event], lag: int = LAG) -> tuple[Targets, list[tuple[int, tuple[str, ...]]]]:
    group, tables = Targets(lag), []
    for at, event in events:
        group, effects = step(group, event, at)
        tables += [(at, effect.pods) for effect in effects]
    return group, tables


def test_a_pod_is_a_target_as_soon_as_it_is_ready() -> None:
    assert run((5, ready("a")), (6, ready("b")))[1] == [(5, ("a",)), (6, ("a", "b"))]


def test_a_target_gets_connections_until_its_deregistration_is_over_and_not_one_instant_longer() -> None:
    group, tables = run((0, ready("a")), (10, going("a")))
    assert due(group) == 10 + LAG
    assert tables == [(0, ("a",))]
    assert step(group, Tick(), 10 + LAG - 1)[1] == ()
    assert step(group, Tick(), 10 + LAG)[1] == (InForce(()),)


def test_its_end_changes_nothing_and_starts_no_second_deregistration() -> None:
    group, _ = run((0, ready("a")), (10, going("a")), (5 * SECOND, going("a")), (6 * SECOND, Withdrawn("a")))
    assert (group.in_force, due(group)) == (("a",), 10 + LAG)


def test_a_pod_that_vanishes_from_the_slice_is_deregistered_from_then_on() -> None:
    assert due(run((0, ready("a")), (7, Withdrawn("a")))[0]) == 7 + LAG


def test_a_pod_that_is_ready_again_stays() -> None:
    group, tables = run(
        (0, ready("a")), (1, Published(conditions("a", ready=False, terminating=False))), (2, ready("a"))
    )
    assert (group.in_force, due(group), tables) == (("a",), None, [(0, ("a",))])


def test_a_pod_that_was_never_ready_is_never_a_target_and_has_nothing_to_leave() -> None:
    group, tables = run((0, Published(conditions("a", ready=False, terminating=False))), (1, Withdrawn("a")))
    assert (tables, due(group)) == ([], None)


def test_of_several_the_first_to_go_is_due_first() -> None:
    group, _ = run((0, ready("a")), (0, ready("b")), (10, going("a")), (20, going("b")))
    assert due(group) == 10 + LAG
    group, effects = step(group, Tick(), 10 + LAG)
    assert (effects, due(group)) == ((InForce(("b",)),), 20 + LAG)


def test_one_that_terminates_while_it_still_serves_is_no_target_of_anybody_who_comes_later() -> None:
    assert run((0, going("a")))[1] == []


def test_without_any_lag_it_follows_the_slice() -> None:
    assert run((0, ready("a")), (10, going("a")), lag=0)[1] == [(0, ("a",)), (10, ())]


@given(st.lists(st.tuples(st.integers(1, 9), st.sampled_from("abc"), st.booleans()), max_size=30))
def test_a_target_was_ready_within_the_last_deregistration(changes: list[tuple[int, str, bool]]) -> None:
    group, now, last_ready, serving = Targets(5), 0, dict[str, int](), set[str]()
    for pause, pod, on in changes:
        now += pause
        last_ready.update(dict.fromkeys(serving, now))
        group, _ = step(group, ready(pod) if on else going(pod), now)
        (serving.add if on else serving.discard)(pod)
        assert serving <= set(group.in_force)
        assert all(now - last_ready.get(each, now) < 5 or each in serving for each in group.in_force)
