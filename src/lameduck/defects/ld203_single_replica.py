"""One replica behind a Service (LD203, single-replica).

What it finds
    replicas 1 (or unset, or an autoscaler's minReplicas 1) behind a Service.

Why it loses requests
    A node drain or eviction takes the only pod: no budget can prevent the gap.

Fix and its safety
    Unsafe: replicas 2.

When not to care
    Singletons by design.
"""

from __future__ import annotations

from lameduck.core.finding import Defect, Severity

DEFECT = Defect(
    "LD203",
    "single-replica",
    "One replica behind a Service",
    "A node drain or eviction takes the only pod: no budget can prevent the gap.",
    Severity.WARNING,
)
