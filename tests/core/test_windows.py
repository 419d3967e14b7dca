from hypothesis import given
from hypothesis import strategies as st

from lameduck.core.instants import MILLISECOND, SECOND
from lameduck.core.timeline import Mark, Milestone, PodHistory
from lameduck.core.windows import Window, Windows, exposed


def pod(**marks: int) -> PodHistory:
    return PodHistory("a", {Milestone(name): Mark(at, 0, "") for name, at in marks.items()})


def test_a_window_lasts_until_three_seconds_after_the_endpoint_left_even_when_the_pod_is_gone_sooner() -> None:
    quick = pod(deletion_requested=10 * SECOND, endpoint_not_ready=10 * SECOND + 1, gone=11 * SECOND)
    assert exposed(quick, 99 * SECOND) == Window(10 * SECOND - 100 * MILLISECOND, 13 * SECOND + 1)


def test_a_window_lasts_until_a_slow_pod_is_gone() -> None:
    slow = pod(deletion_requested=0, endpoint_not_ready=1, gone=60 * SECOND)
    assert exposed(slow, 99 * SECOND) == Window(-100 * MILLISECOND, 60 * SECOND)


def test_what_was_never_seen_to_end_lasts_to_the_end_of_observation() -> None:
    assert exposed(pod(deletion_requested=0, endpoint_not_ready=1), 7 * SECOND) == Window(
        -100 * MILLISECOND, 7 * SECOND
    )
    assert exposed(pod(deletion_requested=0, gone=1), 7 * SECOND) == Window(-100 * MILLISECOND, 7 * SECOND)


def test_a_window_lasts_as_long_as_a_table_holds_the_pod() -> None:
    quick = pod(deletion_requested=0, endpoint_not_ready=1, gone=SECOND)
    slow = PodHistory("a", quick.marks, {"routed": False, "unrouted_at": 120 * SECOND})
    assert exposed(slow, 999 * SECOND) == Window(-100 * MILLISECOND, 120 * SECOND)
    held = PodHistory("a", quick.marks, {"routed": True})
    assert exposed(held, 999 * SECOND) == Window(-100 * MILLISECOND, 999 * SECOND)


def test_a_pod_that_was_not_deleted_exposes_nothing() -> None:
    assert exposed(pod(created=0, ready=1), 9) is None


spans = st.lists(st.tuples(st.integers(0, 50), st.integers(0, 20)).map(lambda t: Window(t[0], t[0] + t[1])), max_size=8)


@given(spans, st.integers(-5, 80))
def test_membership_is_that_of_any_window(windows: list[Window], at: int) -> None:
    assert (at in Windows(windows)) == any(at in window for window in windows)
