"""A probe's own grace period cuts the drain (LD303, liveness-kill-too-fast).

What it finds
    livenessProbe or startupProbe terminationGracePeriodSeconds below the time that the drain needs.

Why it loses requests
    A restart by a failed probe gives requests in flight only that long.

Fix and its safety
    Safe: remove the field.

Evidence
    KEP-2238, stable in 1.28.
"""

from __future__ import annotations

from lameduck.core.finding import Defect, Severity

DEFECT = Defect(
    "LD303",
    "liveness-kill-too-fast",
    "A probe's own grace period cuts the drain",
    "A restart by a failed probe gives requests in flight only that long.",
    Severity.WARNING,
)
