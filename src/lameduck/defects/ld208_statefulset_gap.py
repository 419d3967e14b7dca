"""A StatefulSet of one replica behind a Service (LD208, statefulset-gap).

What it finds
    A StatefulSet with replicas 1 behind a Service.

Why it loses requests
    StatefulSets have no surge: each update is a gap.

Fix and its safety
    None.

When not to care
    Singletons by design.
"""

from __future__ import annotations

from lameduck.core.finding import Defect, Severity

DEFECT = Defect(
    "LD208",
    "statefulset-gap",
    "A StatefulSet of one replica behind a Service",
    "StatefulSets have no surge: each update is a gap.",
    Severity.INFO,
)
