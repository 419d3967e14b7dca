"""A PodDisruptionBudget that never allows an eviction (LD205, pdb-blocks-drain).

What it finds
    maxUnavailable 0, or minAvailable at or above the replicas.

Why it loses requests
    The drain hangs until somebody forces it, and then nothing is graceful.

Fix and its safety
    Unsafe: maxUnavailable 1.

When not to care
    Quorum systems on purpose.

Evidence
    unhealthyPodEvictionPolicy: KEP-3017, stable in 1.31.
"""

from __future__ import annotations

from lameduck.core.finding import Defect, Severity

DEFECT = Defect(
    "LD205",
    "pdb-blocks-drain",
    "A PodDisruptionBudget that never allows an eviction",
    "The drain hangs until somebody forces it, and then nothing is graceful.",
    Severity.WARNING,
)
