from dataclasses import dataclass

import pytest

from lameduck.core.instants import MILLISECOND, SECOND
from lameduck.load.pool import SLEEPER_AGES, Pool, right_size


@dataclass(eq=False)
class Line:
    name: int
    idle_since: int = 0
    sleeper: int = -1
    open: bool = True


def pool_of(count: int, size: int, now: int = 0) -> tuple[Pool[Line], list[Line]]:
    """A pool whose sleepers are in place, with `count` idle connections in turn."""
    pool: Pool[Line] = Pool(size)
    lines = [Line(number, now) for number in range(len(SLEEPER_AGES) + count)]
    for line in lines:
        pool.add(line)
    for line in lines:
        pool.give(line)
    return pool, lines[len(SLEEPER_AGES) :]


@pytest.mark.parametrize(
    ("rate", "service_time", "size"),
    [(500, 2 * MILLISECOND, 20), (1000, 100 * MILLISECOND, 150), (500, 2 * SECOND, 1500), (3, 0, 3), (0.1, 0, 2)],
)
def test_the_size_follows_the_rate_and_the_service_time(rate: float, service_time: int, size: int) -> None:
    assert right_size(rate, service_time) == size


def test_connections_are_taken_in_the_order_they_were_given_back() -> None:
    pool, lines = pool_of(3, size=3)
    taken = [pool.take(1) for _ in range(3)]
    assert taken == lines
    for line in (lines[1], lines[0]):
        pool.give(line)
    assert [pool.take(2), pool.take(2)] == [lines[1], lines[0]]


def test_a_new_one_is_dialled_until_the_size_is_reached_and_when_none_is_idle() -> None:
    pool, _ = pool_of(2, size=3)
    assert pool.take(1) is None
    pool.add(Line(99))
    assert pool.take(1) is not None
    assert pool.take(1) is not None
    assert pool.take(1) is None


@pytest.mark.parametrize("refill", [True, False])
def test_a_connection_that_ended_is_dialled_anew_or_only_where_none_is_idle(refill: bool) -> None:
    pool: Pool[Line] = Pool(2, sleepers=False, refill=refill)
    lines = [Line(0), Line(1)]
    for line in lines:
        assert pool.take(1) is None
        pool.add(line)
    for line in lines:
        pool.give(line)
    lines[0].open = False
    pool.remove(lines[0])
    assert pool.take(2) is (None if refill else lines[1])
    if not refill:
        assert pool.take(2) is None


def test_without_refill_one_that_ends_before_all_were_dialled_keeps_nobody_dialling() -> None:
    pool: Pool[Line] = Pool(2, sleepers=False, refill=False)
    for line in (Line(0, open=False), Line(1)):
        assert pool.take(1) is None
        pool.add(line)
        pool.give(line)
        if not line.open:
            pool.remove(line)
    assert pool.take(2) is not None
    assert pool.spare() == []


def test_a_closed_connection_is_never_taken() -> None:
    pool, lines = pool_of(2, size=2)
    lines[0].open = False
    assert pool.take(1) is lines[1]


def test_connections_that_nobody_needed_are_spare_and_the_size_stays() -> None:
    pool, lines = pool_of(6, size=4)
    assert pool.spare() == []  # nothing is known yet of the time before
    pool.take(1)
    pool.give(lines[0])
    spare = pool.spare()
    assert len(spare) == 2
    for line in spare:
        pool.remove(line)
    assert pool.in_turn == 4
    assert pool.spare() == []


def test_connections_in_use_at_a_peak_are_not_spare() -> None:
    pool, lines = pool_of(6, size=2)
    pool.spare()
    for _ in range(6):
        pool.take(1)
    for line in lines:
        pool.give(line)
    assert pool.spare() == []


def test_sleepers_are_used_at_their_ages_and_not_before() -> None:
    pool, _ = pool_of(0, size=0)
    used = []
    for second in range(1, 80):
        now = second * SECOND
        while (line := pool.take(now)) is not None:
            used.append((second, SLEEPER_AGES[line.sleeper] // SECOND))
            assert now - line.idle_since >= SLEEPER_AGES[line.sleeper]
            line.open = False  # once is enough here
    assert used == [(age // SECOND, age // SECOND) for age in SLEEPER_AGES]


def test_a_sleeper_sleeps_again_and_a_lost_one_is_replaced() -> None:
    pool, (spare,) = pool_of(1, size=1)
    sleeper = pool.take(SECOND)
    assert sleeper is not None
    assert sleeper.sleeper == 0
    sleeper.idle_since = SECOND
    pool.give(sleeper)
    assert pool.take(int(1.9 * SECOND)) is spare
    assert pool.take(2 * SECOND).sleeper in {0, 1}
    pool.remove(sleeper)
    pool.give(spare)
    assert spare.sleeper == 0
    assert pool.in_turn == 0


def test_removing_twice_or_what_never_was_there_changes_nothing() -> None:
    pool, lines = pool_of(2, size=2)
    for _ in range(2):
        pool.remove(lines[0])
    pool.remove(Line(77))
    assert pool.in_turn == 1


def test_a_dead_sleeper_wakes_no_other_before_its_time() -> None:
    pool, _ = pool_of(0, size=0)
    for line in pool.members:
        line.open = line.sleeper != 0
    assert pool.take(SECOND) is None
    assert pool.take(2 * SECOND) is not None
