from collections import Counter
from itertools import groupby, islice, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lameduck.core.arrivals import arrivals, mix, offsets, planned
from lameduck.core.exchange import Lane
from lameduck.core.instants import SECOND
from lameduck.core.plan import ArrivalProcess, RequestShape, TrafficPlan

RATES = st.floats(0.1, 50_000)
PROCESSES = st.sampled_from(ArrivalProcess)


def plan(rate: float, arrivals: ArrivalProcess = ArrivalProcess.CONSTANT, **more: object) -> TrafficPlan:
    return TrafficPlan(rate=rate, arrivals=arrivals, **more)


def first(count: int, of: TrafficPlan) -> list[int]:
    return list(islice(offsets(of), count))


def test_constant_arrivals_are_evenly_spaced_without_drift() -> None:
    assert first(4, plan(3)) == [0, 333_333_333, 666_666_666, 1_000_000_000]
    assert next(islice(offsets(plan(3)), 3_000_000, None)) == 1_000_000 * SECOND


def test_a_ramp_sends_what_lies_under_its_line_and_stays_at_its_last_rate() -> None:
    ramp = plan(300, ArrivalProcess.RAMP, ramp_from=100, duration=10 * SECOND)
    starts = first(3000, ramp)
    assert sum(start < 10 * SECOND for start in starts) == 2000
    assert sum(start < 5 * SECOND for start in starts) == 750  # 100·5 + 20·25/2
    assert sum(10 * SECOND <= start < 12 * SECOND for start in starts) == 600


@pytest.mark.parametrize(("begin", "end"), [(0, 100), (100, 0.5), (100, 100)])
def test_a_ramp_may_begin_at_nothing_fall_or_be_level(begin: float, end: float) -> None:
    ramp = plan(end, ArrivalProcess.RAMP, ramp_from=begin, duration=10 * SECOND)
    starts = first(1100, ramp)
    assert starts == sorted(starts)
    assert sum(start < 10 * SECOND for start in starts) == pytest.approx((begin + end) * 5, abs=1)


def test_poisson_gaps_have_the_rate_and_the_spread_of_an_exponential() -> None:
    gaps = [later - earlier for earlier, later in pairwise(first(20_001, plan(100, ArrivalProcess.POISSON)))]
    assert sum(gaps) / len(gaps) == pytest.approx(SECOND / 100, rel=0.03)
    assert sum(gap > SECOND / 100 for gap in gaps) / len(gaps) == pytest.approx(0.3679, abs=0.015)


def test_a_seed_repeats_itself_and_another_one_does_not() -> None:
    one, same, other = (plan(100, ArrivalProcess.POISSON, seed=seed) for seed in (7, 7, 8))
    assert first(100, one) == first(100, same) != first(100, other)
    assert list(islice(arrivals(one), 100)) == list(islice(arrivals(same), 100))


@given(RATES, PROCESSES, st.integers(0, 9))
def test_intended_starts_never_go_back(rate: float, process: ArrivalProcess, seed: int) -> None:
    starts = first(300, plan(rate, process, ramp_from=rate / 3, seed=seed))
    assert starts == sorted(starts)
    assert starts[0] >= 0


@given(st.floats(0.1, 3000), st.floats(0.01, 20), st.booleans())
def test_the_number_planned_is_the_number_that_comes(rate: float, seconds: float, ramps: bool) -> None:
    process = ArrivalProcess.RAMP if ramps else ArrivalProcess.CONSTANT
    of, until = plan(rate, process, ramp_from=rate / 2, duration=5 * SECOND), int(seconds * SECOND)
    came = 0
    for start in offsets(of):
        if start >= until:
            break
        came += 1
    assert planned(of, until) == pytest.approx(came, abs=1)


@given(st.floats(0.02, 0.98), st.floats(0.02, 0.98), st.integers(0, 1000), st.integers(100, 3000))
def test_every_pair_of_lane_and_shape_gets_its_share_early(lane: float, shape: float, seed: int, count: int) -> None:
    of = plan(
        100,
        lanes=((Lane.NEW, lane), (Lane.REUSE, 1 - lane)),
        requests=(RequestShape(path="/a", weight=shape), RequestShape(path="/b", weight=1 - shape)),
        seed=seed,
    )
    got = Counter((arrival.lane, arrival.shape) for arrival in islice(arrivals(of), count))
    for pair, share in {(0, 0): lane * shape, (1, 1): (1 - lane) * (1 - shape)}.items():
        assert got[pair] == pytest.approx(share * count, abs=12)


def test_neither_lanes_nor_shapes_come_in_blocks() -> None:
    of = plan(100, requests=(RequestShape(weight=9), RequestShape(weight=1)))
    run = list(islice(arrivals(of), 5000))
    assert max(len(list(block)) for _, block in groupby(run, key=lambda each: each.lane)) <= 2
    assert max(len(list(block)) for _, block in groupby(run, key=lambda each: each.shape)) <= 20


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))
def test_mixed_bits_fit_a_word(seed: int, number: int) -> None:
    assert 0 <= mix(seed, number) < 2**64
