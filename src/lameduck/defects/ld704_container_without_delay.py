"""One serving container of the pod has no delay (LD704, container-without-delay).

What it finds
    Two serving containers, one with a waiting preStop, one without.

Why it loses requests
    The endpoint stays routed while this one has stopped.

Fix and its safety
    Safe: the same preStop.
"""

from __future__ import annotations

from lameduck.core.finding import Defect, Severity

DEFECT = Defect(
    "LD704",
    "container-without-delay",
    "One serving container of the pod has no delay",
    "The endpoint stays routed while this one has stopped.",
    Severity.WARNING,
)
