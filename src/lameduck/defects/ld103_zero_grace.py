"""A grace period of zero (LD103, zero-grace).

What it finds
    terminationGracePeriodSeconds 0 (error) or 1 (warning) on a pod that serves traffic.

Why it loses requests
    With 0 the kubelet skips preStop and kills at once; with 1 it leaves two seconds at most.

Fix and its safety
    Safe: remove the field, so that the default of 30 s holds.

When not to care
    Stateless batch pods that nobody calls.

Evidence
    kubelet killContainer: preStop runs only if the grace period is above 0.
"""

from __future__ import annotations

from lameduck.core.finding import Defect, Severity

DEFECT = Defect(
    "LD103",
    "zero-grace",
    "A grace period of zero",
    "With 0 the kubelet skips preStop and kills at once; with 1 it leaves two seconds at most.",
    Severity.ERROR,
)
