"""Local traffic policy leaves nodes without an endpoint (LD602, local-traffic-policy).

What it finds
    externalTrafficPolicy or internalTrafficPolicy Local.

Why it loses requests
    Traffic to a node whose last pod terminates is dropped below 1.26.

Fix and its safety
    None.

Evidence
    KEP-1669.
"""

from __future__ import annotations

from lameduck.core.finding import Defect, Severity

DEFECT = Defect(
    "LD602",
    "local-traffic-policy",
    "Local traffic policy leaves nodes without an endpoint",
    "Traffic to a node whose last pod terminates is dropped below 1.26.",
    Severity.INFO,
)
