"""How sure a quantile is (a block bootstrap over seconds), and whether clusters differ (a permutation test).

Law: requests of one second share its weather (a collection, a busy neighbour), so whole seconds are drawn, never single
requests; drawing is seeded, so that the same runs give the same interval. Intervals (95 %) are to be read, not to judge
by: of few seconds they are too narrow (200 pairs of the same thing: half were called different). What judges deals all
seconds out anew to two runs, which is exact however few there are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, combinations, repeat
from math import comb
from typing import Any

from lameduck.core.instants import SECOND

DRAWS = 400
MOST_ORDERS = 20_000
"""Up to so many ways to deal clusters into two runs each is looked at; above that 4,000 are drawn."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A value (ns) and its 95 % bootstrap interval."""

    value: int
    low: int
    high: int


class Blocks:
    """Durations (ns), counted by bucket for each second of a run."""

    def __init__(self, origin: int) -> None:
        self._origin = origin
        self._seconds: dict[int, dict[int, int]] = {}

    def __bool__(self) -> bool:
        return bool(self._seconds)

    def add(self, at: int, duration: int) -> None:
        """Count one duration that began at an instant."""
        block = self._seconds.setdefault((at - self._origin) // SECOND, {})
        bucket = _bucket(duration)
        block[bucket] = block.get(bucket, 0) + 1

    def quantile(self, share: float) -> int:
        """The quantile of all durations."""
        order, sums = self._sums()
        return _value(order[_place(sums, share)])

    def draws(self, share: float, numbers: Iterator[int]) -> list[int]:
        """The quantile of `DRAWS` runs made of seconds of this one, drawn with replacement."""
        order, sums = self._sums()
        count = len(sums)
        drawn = ([sums[next(numbers) % count] for _ in range(count)] for _ in range(DRAWS))
        return [_value(order[_place(chosen, share)]) for chosen in drawn]

    def _sums(self, *others: Blocks) -> tuple[list[int], list[list[int]]]:
        """The buckets in order (of other runs too), and for each second how many durations lie up to each of them."""
        order = sorted(
            set().union(*self._seconds.values(), *(each for one in others for each in one._seconds.values()))
        )
        return order, [list(accumulate(map(block.get, order, repeat(0)))) for block in self._seconds.values()]


def difference(first: Blocks, second: Blocks, share: float) -> tuple[Interval, Interval, Interval]:
    """A quantile of the first run, of the second, and second − first."""
    numbers = seeded(2024)
    a, b = first.draws(share, numbers), second.draws(share, numbers)
    values = first.quantile(share), second.quantile(share)
    return (
        _interval(values[0], a),
        _interval(values[1], b),
        _interval(values[1] - values[0], [y - x for x, y in zip(a, b, strict=True)]),
    )


def unlike(first: Blocks, second: Blocks, share: float) -> float:
    """How likely it is by chance (p, two-sided) that a quantile of two runs of the same thing differs as it does."""
    (order, a), (_, b) = first._sums(second), second._sums(first)
    seconds, count, numbers = [*a, *b], len(a), seeded(2026)

    def apart() -> int:
        return abs(_value(order[_place(seconds[:count], share)]) - _value(order[_place(seconds[count:], share)]))

    seen, hits = apart(), 1
    for _ in range(DRAWS - 1):
        _shuffle(seconds, len(seconds), numbers)
        hits += apart() >= seen
    return hits / DRAWS


def permuted(first: Sequence[float], second: Sequence[float]) -> float:
    """How likely it is by chance (p, one-sided) that the second run's clusters are, on average, as large as they are.

    Exact up to `MOST_ORDERS` ways to deal them, else by a seeded sample. 1.0 where there is nothing to tell.
    """
    every, count = [*first, *second], len(second)
    if not first or not second or not any(every):
        return 1.0
    reached = sum(second) * (1 - 1e-12)
    if comb(len(every), count) <= MOST_ORDERS:
        sums = [sum(dealt) for dealt in combinations(every, count)]
        return sum(each >= reached for each in sums) / len(sums)
    numbers, hits, draws = seeded(2025), 1, 4_000
    for _ in range(draws - 1):
        _shuffle(every, count, numbers)
        hits += sum(every[:count]) >= reached
    return hits / draws


def _shuffle(items: list[Any], places: int, numbers: Iterator[int]) -> None:
    """The first places of a shuffled list."""
    for place in range(places):
        other = place + next(numbers) % (len(items) - place)
        items[place], items[other] = items[other], items[place]


def seeded(seed: int) -> Iterator[int]:
    """Numbers of 32 bits without a pattern that matters here (Knuth's MMIX generator, its upper half)."""
    state = seed
    while True:
        state = (state * 6_364_136_223_846_793_005 + 1_442_695_040_888_963_407) % 2**64
        yield state >> 32


def _interval(value: int, drawn: list[int]) -> Interval:
    drawn.sort()
    cut = len(drawn) * 25 // 1000
    return Interval(value, drawn[cut], drawn[-1 - cut])


def _place(sums: Sequence[Sequence[int]], share: float) -> int:
    """The first bucket up to which this share of all durations of these seconds lies."""
    wanted = share * sum(each[-1] for each in sums)
    low, high = 0, len(sums[0]) - 1
    while low < high:
        middle = (low + high) // 2
        if sum(each[middle] for each in sums) >= wanted:
            high = middle
        else:
            low = middle + 1
    return low


def _bucket(value: int) -> int:
    shift = max(value.bit_length() - 7, 0)
    return (shift << 8) + (value >> shift)


def _value(bucket: int) -> int:
    shift, rest = bucket >> 8, bucket & 255
    return (rest << shift) + ((1 << shift) >> 1)
