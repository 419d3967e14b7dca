"""Liveness and readiness probe are the same (LD302, liveness-equals-readiness).

What it finds
    The same action and thresholds in both probes.

Why it loses requests
    Overload then turns into a restart of pods with requests in flight.

Fix and its safety
    None.
"""

from __future__ import annotations

from lameduck.core.finding import Defect, Severity

DEFECT = Defect(
    "LD302",
    "liveness-equals-readiness",
    "Liveness and readiness probe are the same",
    "Overload then turns into a restart of pods with requests in flight.",
    Severity.WARNING,
)
