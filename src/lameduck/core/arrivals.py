"""When the n-th request is due, and which lane and request shape it gets.

Law: everything is a function of the plan and n alone, so a run can be repeated and a late engine cannot thin out its
own load. Lanes and shapes follow a two-dimensional Kronecker sequence: after any number of requests each pair of lane
and shape has had its share up to a few requests, and none comes in blocks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate
from math import log1p, sqrt
from typing import NamedTuple

from lameduck.core.instants import SECOND
from lameduck.core.plan import ArrivalProcess, TrafficPlan

_WORD = 1 << 64
_MASK = _WORD - 1
_STEPS = (int(_WORD * (sqrt(2) - 1)) | 1, int(_WORD * (sqrt(5) - 1) / 2) | 1)
"""The two numbers that fractions approximate worst: multiples of each fill the circle most evenly, and both together
the square, since no whole combination of them is a whole number."""


class Arrival(NamedTuple):
    """One request that will be sent: due `offset` ns after the start, by index into the plan's lanes and requests."""

    offset: int
    lane: int
    shape: int


def arrivals(plan: TrafficPlan) -> Iterator[Arrival]:
    """Every request of a plan, in order, without an end (a ramp stays at its last rate)."""
    phases = [mix(plan.seed, number) for number in (1, 2)]
    lanes = _bounds([share for _, share in plan.lanes])
    shapes = _bounds([shape.weight for shape in plan.requests])
    lane_at, shape_at = phases
    for offset in offsets(plan):
        lane_at = lane_at + _STEPS[0] & _MASK
        shape_at = shape_at + _STEPS[1] & _MASK
        yield Arrival(offset, _place(lanes, lane_at), _place(shapes, shape_at))


def offsets(plan: TrafficPlan) -> Iterator[int]:
    """The intended starts, in ns after the start of the load, by the plan's arrival process."""
    if plan.arrivals is ArrivalProcess.POISSON:
        return _poisson(plan.rate, plan.seed)
    if plan.arrivals is ArrivalProcess.RAMP:
        return _ramp(plan.ramp_from, plan.rate, plan.duration)
    return _constant(plan.rate)


def planned(plan: TrafficPlan, until: int) -> int:
    """How many requests are due before `until` (ns after the start); for Poisson arrivals, how many are expected."""
    if plan.arrivals is not ArrivalProcess.RAMP:
        return -int(-until * plan.rate // SECOND)
    ramp = min(until, plan.duration) / SECOND
    slope = (plan.rate - plan.ramp_from) / (plan.duration / SECOND)
    return -int(-(plan.ramp_from * ramp + slope * ramp * ramp / 2 + max(0, until - plan.duration) * plan.rate / SECOND))


def mix(seed: int, number: int) -> int:
    """64 well mixed bits of two numbers (the finalizer of SplitMix64): a pure function in the place of a generator."""
    word = (seed * 0x9E3779B97F4A7C15 + number * 0xBF58476D1CE4E5B9 + 0x94D049BB133111EB) & _MASK
    word = (word ^ word >> 30) * 0xBF58476D1CE4E5B9 & _MASK
    word = (word ^ word >> 27) * 0x94D049BB133111EB & _MASK
    return word ^ word >> 31


def _constant(rate: float) -> Iterator[int]:
    number = 0
    while True:
        yield int(number * SECOND / rate)
        number += 1


def _poisson(rate: float, seed: int) -> Iterator[int]:
    at, number, mean = 0.0, 0, SECOND / rate
    while True:
        number += 1
        at -= log1p(-mix(seed, number) / _WORD) * mean
        yield int(at)


def _ramp(first: float, last: float, duration: int) -> Iterator[int]:
    """The instants at which the integral of the rate, a·t + b·t²/2, passes 0, 1, 2 …"""
    seconds = duration / SECOND
    slope = (last - first) / seconds
    whole = (first + last) / 2 * seconds
    number = 0
    while number < whole:
        # The stable form of the quadratic's solution: no cancellation when the slope is small, no division by it.
        yield int(2 * number / (first + sqrt(first * first + 2 * slope * number)) * SECOND) if number else 0
        number += 1
    while True:
        yield duration + int((number - whole) * SECOND / last)
        number += 1


def _bounds(shares: Sequence[float]) -> list[int]:
    """Upper ends of each share on the circle of 2⁶⁴; the last one is left out, it takes what remains."""
    total = sum(shares)
    return [int(upper / total * _WORD) for upper in accumulate(shares)][:-1]


def _place(bounds: Sequence[int], point: int) -> int:
    place = 0
    for bound in bounds:
        if point < bound:
            break
        place += 1
    return place
