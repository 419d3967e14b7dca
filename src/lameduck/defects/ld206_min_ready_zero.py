"""minReadySeconds 0 behind an external load balancer (LD206, min-ready-zero).

What it finds
    A load balancer path, no readiness gate and minReadySeconds 0.

Why it loses requests
    A new pod counts as available as soon as it is ready, before the load balancer sends to it; the old one leaves
    too early.

Fix and its safety
    Unsafe: minReadySeconds 15.

When not to care
    Readiness gates are injected.
"""

from __future__ import annotations

from lameduck.core.finding import Defect, Severity

DEFECT = Defect(
    "LD206",
    "min-ready-zero",
    "minReadySeconds 0 behind an external load balancer",
    "A new pod counts as available as soon as it is ready, before the load balancer sends to it; the old one "
    "leaves too early.",
    Severity.INFO,
)
