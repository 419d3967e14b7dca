"""No PodDisruptionBudget (LD204, no-pdb).

What it finds
    Two or more replicas behind a Service, and no PodDisruptionBudget in the input that selects them.

Why it loses requests
    A node drain may evict all replicas at once.

Fix and its safety
    Unsafe: a new PodDisruptionBudget with maxUnavailable 1.

When not to care
    The budget is kept in another file or made by an operator.

Evidence
    Eviction API.
"""

from __future__ import annotations

from lameduck.core.finding import Defect, Severity

DEFECT = Defect(
    "LD204",
    "no-pdb",
    "No PodDisruptionBudget",
    "A node drain may evict all replicas at once.",
    Severity.INFO,
)
