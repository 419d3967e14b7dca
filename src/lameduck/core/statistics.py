"""The two tests a verdict rests on: an upper bound of a rate, and whether two rates are alike.

Law: both are exact (no normal approximation): losses are rare, and zero failures must still leave a rate possible.
"""

from __future__ import annotations

from math import exp, lgamma, log, log1p

CONFIDENCE = 0.95


def upper_bound(failed: int, total: int, confidence: float = CONFIDENCE) -> float:
    """The one-sided Clopper-Pearson upper bound of a failure rate (0..1); 1.0 of nothing.

    For 0 failures it is 1 − (1 − confidence)^(1/n): about 3/n at 95 % ("rule of three").
    """
    if total <= 0 or failed >= total:
        return 1.0
    if failed == 0:
        return 1.0 - float((1.0 - confidence) ** (1.0 / total))
    low, high = failed / total, 1.0
    for _ in range(60):  # the tail falls as the rate grows: halve the bracket to double precision
        middle = (low + high) / 2
        if _at_most(failed, total, middle) > 1.0 - confidence:
            low = middle
        else:
            high = middle
    return high


def lower_bound(failed: int, total: int, confidence: float = CONFIDENCE) -> float:
    """The one-sided Clopper-Pearson lower bound of a failure rate (0..1); 0.0 of nothing."""
    if total <= 0 or failed <= 0:
        return 0.0
    low, high = 0.0, failed / total
    for _ in range(60):
        middle = (low + high) / 2
        if _at_most(failed - 1, total, middle) > confidence:
            low = middle
        else:
            high = middle
    return low


def fisher(first_failed: int, first_total: int, second_failed: int, second_total: int) -> float:
    """Two-sided p value of Fisher's exact test: how likely counts this unlike come from one rate."""
    failed, total = first_failed + second_failed, first_total + second_total
    lowest, highest = max(0, failed - second_total), min(failed, first_total)
    whole = _log_choose(total, failed)
    tables = [
        _log_choose(first_total, k) + _log_choose(second_total, failed - k) - whole for k in range(lowest, highest + 1)
    ]
    seen = tables[first_failed - lowest]
    return min(1.0, sum(exp(each) for each in tables if each <= seen + 1e-9))


def _log_choose(n: int, k: int) -> float:
    return lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1)


def _at_most(failed: int, total: int, rate: float) -> float:
    """The chance of at most this many failures at this rate."""
    if rate <= 0.0 or rate >= 1.0:
        return 1.0 if rate <= 0.0 or failed >= total else 0.0
    terms = (_log_choose(total, k) + k * log(rate) + (total - k) * log1p(-rate) for k in range(failed + 1))
    return min(1.0, sum(map(exp, terms)))
