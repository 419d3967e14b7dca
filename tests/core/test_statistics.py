from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lameduck.core.statistics import fisher, lower_bound, upper_bound


def test_zero_failures_still_allow_a_rate_by_the_rule_of_three() -> None:
    assert upper_bound(0, 3000) == pytest.approx(3 / 3000, rel=0.01)
    assert upper_bound(0, 9) == pytest.approx(0.283, abs=0.001)  # 9 clean terminations still allow 28 %


@pytest.mark.parametrize(
    ("failed", "total", "bound"),
    [(1, 10, 0.3942), (5, 100, 0.1023), (20, 500, 0.0577), (0, 1, 0.95), (3, 3, 1.0), (0, 0, 1.0)],
)
def test_the_bound_is_clopper_pearsons(failed: int, total: int, bound: float) -> None:
    assert upper_bound(failed, total) == pytest.approx(bound, abs=0.0002)


@given(st.integers(0, 30), st.integers(1, 300))
def test_the_bound_is_above_the_rate_and_grows_with_failures(failed: int, total: int) -> None:
    failed = min(failed, total)
    assert failed / total <= upper_bound(failed, total) <= 1.0
    if failed < total:
        assert upper_bound(failed, total) <= upper_bound(failed + 1, total)


@given(st.integers(0, 12), st.integers(1, 12), st.integers(0, 12), st.integers(1, 12))
def test_fisher_is_the_sum_over_all_tables_at_most_as_likely(a: int, n: int, b: int, m: int) -> None:
    a, b = min(a, n), min(b, m)
    ways = {k: comb(n, k) * comb(m, a + b - k) for k in range(max(0, a + b - m), min(a + b, n) + 1)}
    exact = sum(way for way in ways.values() if way <= ways[a]) / comb(n + m, a + b)
    assert fisher(a, n, b, m) == pytest.approx(exact, abs=1e-6)


@given(st.integers(0, 60), st.integers(1, 300))
def test_the_lower_bound_is_the_upper_one_of_what_did_not_fail(failed: int, total: int) -> None:
    failed = min(failed, total)
    assert lower_bound(failed, total) == pytest.approx(1 - upper_bound(total - failed, total), abs=1e-9)
