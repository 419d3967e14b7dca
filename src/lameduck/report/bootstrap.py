"""How sure a quantile is: a block bootstrap over the seconds of a run.

Law: requests of one second share its weather (a collection, a busy neighbour), so whole seconds are drawn, never single
requests; drawing is seeded, so that the same runs give the same interval.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

from lameduck.core.instants import SECOND

DRAWS = 200


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
        blocks = list(self._seconds.values())
        return _quantile(blocks, range(len(blocks)), share)

    def draws(self, share: float, numbers: Iterator[int]) -> list[int]:
        """The quantile of `DRAWS` runs made of seconds of this one, drawn with replacement."""
        blocks = list(self._seconds.values())
        count = len(blocks)
        return [_quantile(blocks, [next(numbers) % count for _ in range(count)], share) for _ in range(DRAWS)]


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


def seeded(seed: int) -> Iterator[int]:
    """Numbers of 32 bits without a pattern that matters here (Knuth's MMIX generator, its upper half)."""
    state = seed
    while True:
        state = (state * 6_364_136_223_846_793_005 + 1_442_695_040_888_963_407) % 2**64
        yield state >> 32


def _interval(value: int, drawn: list[int]) -> Interval:
    drawn.sort()
    return Interval(value, drawn[len(drawn) * 25 // 1000], drawn[len(drawn) * 975 // 1000])


def _quantile(blocks: Sequence[dict[int, int]], chosen: Sequence[int], share: float) -> int:
    merged: dict[int, int] = {}
    for number in chosen:
        for bucket, count in blocks[number].items():
            merged[bucket] = merged.get(bucket, 0) + count
    order = sorted(merged)
    wanted = share * sum(merged.values())
    place = next(n for n, seen in enumerate(accumulate(merged[bucket] for bucket in order)) if seen >= wanted)
    return _value(order[place])


def _bucket(value: int) -> int:
    shift = max(value.bit_length() - 7, 0)
    return (shift << 8) + (value >> shift)


def _value(bucket: int) -> int:
    shift, rest = bucket >> 8, bucket & 255
    return (rest << shift) + ((1 << shift) >> 1)
