"""Quantiles of durations without keeping them all: buckets that grow by 1/64 of their size.

Law: a value is reported at most 1.6 % too high and never too low; merging two histograms is adding their buckets.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

_BITS = 6
"""Each power of two is cut into 2**6 buckets."""


def _bucket(value: int) -> int:
    if value < 1 << _BITS:
        return max(value, 0)
    shift = value.bit_length() - _BITS - 1
    return (shift << _BITS) + (value >> shift)


def _upper(bucket: int) -> int:
    if bucket < 2 << _BITS:
        return bucket
    shift = (bucket >> _BITS) - 1
    return ((bucket - (shift << _BITS) + 1) << shift) - 1


class Histogram:
    """Counts of durations (integer nanoseconds)."""

    __slots__ = ("_buckets", "maximum", "total")

    def __init__(self, values: Iterable[int] = ()) -> None:
        self._buckets: Counter[int] = Counter()
        self.total = 0
        self.maximum = 0
        for value in values:
            self.add(value)

    def add(self, value: int) -> None:
        """Count one value."""
        self._buckets[_bucket(value)] += 1
        self.total += 1
        self.maximum = max(self.maximum, value)

    def merge(self, other: Histogram) -> None:
        """Count everything that another histogram counted."""
        self._buckets.update(other._buckets)
        self.total += other.total
        self.maximum = max(self.maximum, other.maximum)

    def quantile(self, share: float) -> int | None:
        """The smallest known bound that ``share`` of the values do not exceed; None of nothing."""
        if not self.total:
            return None
        wanted = max(1, -(-share * self.total // 1))
        seen = 0
        for bucket in sorted(self._buckets):
            seen += self._buckets[bucket]
            if seen >= wanted:
                return min(_upper(bucket), self.maximum)
        return self.maximum
