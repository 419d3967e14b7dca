"""A PodDisruptionBudget: how many pods may be evicted now.

Laws (``pkg/controller/disruption``): both amounts round up when they are percentages; what is needed healthy is the
larger of them and none, measured against the pods that the workload should have; a pod that is terminating or not ready
is not healthy; an eviction takes one of what is allowed, or is refused (429) and asked again.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Budget:
    """``minAvailable`` or ``maxUnavailable``, as written."""

    name: str
    min_available: int | str | None = None
    max_unavailable: int | str | None = None

    def allows(self, healthy: int, expected: int) -> int:
        """How many more pods may be evicted."""
        if self.max_unavailable is not None:
            needed = expected - scaled(self.max_unavailable, expected)
        else:
            needed = scaled(self.min_available or 0, expected)
        return max(0, healthy - max(0, needed))


def scaled(amount: int | str, replicas: int) -> int:
    """A number of pods, or a percentage of them rounded up. Raises `ValueError` for anything else."""
    text = str(amount)
    digits = text.removesuffix("%")
    if not (digits.isascii() and digits.isdigit()):
        raise ValueError(f"a disruption budget has a number of pods or a percentage, not {text!r}")
    return -(-int(digits) * replicas // 100) if digits != text else int(text)
