"""No readiness gate for a load balancer with pod targets (LD606, no-readiness-gate).

What it finds
    An ALB or NLB path in ip mode without a readiness gate.

Why it loses requests
    The rollout goes on before the new target is healthy.

Fix and its safety
    None.

When not to care
    The namespace label injects it.
"""

from __future__ import annotations

from lameduck.core.finding import Defect, Severity

DEFECT = Defect(
    "LD606",
    "no-readiness-gate",
    "No readiness gate for a load balancer with pod targets",
    "The rollout goes on before the new target is healthy.",
    Severity.INFO,
)
