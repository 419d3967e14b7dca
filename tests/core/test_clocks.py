from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lameduck.core.clocks import Asked, fit
from lameduck.core.instants import MILLISECOND, SECOND


def asked(at: int, offset: int, there: int = MILLISECOND, back: int = MILLISECOND) -> Asked:
    return Asked(at, at + there + back, at + there + offset)


def test_the_quickest_answer_knows_best() -> None:
    clock = fit([asked(0, 500, there=9 * MILLISECOND), asked(50 * MILLISECOND, 500), asked(100 * MILLISECOND, 500)])
    assert (clock.offset, clock.error) == (500, MILLISECOND)


def test_a_way_that_is_slower_in_one_direction_is_within_the_error() -> None:
    clock = fit([asked(0, 7_000_000, there=10 * MILLISECOND, back=0)])
    assert abs(clock.offset - 7_000_000) <= clock.error == 5 * MILLISECOND


def test_a_clock_that_drifts_is_followed_in_a_straight_line() -> None:
    clock = fit([asked(0, 0), asked(500 * SECOND, 10 * MILLISECOND), asked(1_000 * SECOND, 20 * MILLISECOND)])
    assert clock.offset_at(250 * SECOND) == pytest.approx(5 * MILLISECOND, abs=10_000)
    assert clock.error == MILLISECOND
    assert clock.ours(clock.theirs(250 * SECOND)) == pytest.approx(250 * SECOND, abs=1_000)


def test_a_clock_that_jumped_is_not_known_better_than_its_jump() -> None:
    clock = fit([asked(0, 0), asked(500 * SECOND, 80 * MILLISECOND), asked(1_000 * SECOND, 0)])
    assert clock.error >= 78 * MILLISECOND


def test_a_clock_that_never_answered_is_refused() -> None:
    with pytest.raises(ValueError, match="never answered"):
        fit([])


def test_what_never_happened_stays_so() -> None:
    assert fit([asked(0, 500)]).column(array("q", [0, 1_500])) == array("q", [0, 1_000])


@given(
    st.integers(-(10**15), 10**15),
    st.lists(st.tuples(st.integers(0, 10**7), st.integers(0, 10**7)), min_size=1, max_size=30),
)
def test_the_true_offset_is_always_within_the_error(offset: int, ways: list[tuple[int, int]]) -> None:
    clock = fit([asked(number * 100 * MILLISECOND, offset, *way) for number, way in enumerate(ways)])
    for at in (0, len(ways) * 50 * MILLISECOND, len(ways) * 100 * MILLISECOND):
        assert abs(clock.offset_at(at) - offset) <= clock.error + 1
