from hypothesis import given
from hypothesis import strategies as st

from lameduck.core.histogram import Histogram

durations = st.lists(st.integers(0, 10**12), min_size=1, max_size=200)


@given(durations, st.sampled_from([0.0, 0.5, 0.9, 0.99, 1.0]))
def test_a_quantile_is_never_too_low_and_at_most_one_bucket_too_high(values: list[int], share: float) -> None:
    exact = sorted(values)[max(1, -(-int(share * 1000) * len(values) // 1000)) - 1]
    found = Histogram(values).quantile(share)
    assert found is not None
    assert exact <= found <= exact + exact // 64


@given(durations, durations)
def test_merging_is_counting_everything_once(left: list[int], right: list[int]) -> None:
    merged = Histogram(left)
    merged.merge(Histogram(right))
    whole = Histogram(left + right)
    assert [merged.quantile(q / 20) for q in range(21)] == [whole.quantile(q / 20) for q in range(21)]


def test_nothing_has_no_quantile() -> None:
    assert Histogram().quantile(0.5) is None
