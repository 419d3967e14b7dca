"""Clients of a headless Service keep old addresses (LD607, headless-dns-cache).

What it finds
    A headless Service with a port that selects a Deployment.

Why it loses requests
    DNS caches outlive pods.

Fix and its safety
    None.

When not to care
    Peers that watch endpoints.
"""

from __future__ import annotations

from lameduck.core.finding import Defect, Severity

DEFECT = Defect(
    "LD607",
    "headless-dns-cache",
    "Clients of a headless Service keep old addresses",
    "DNS caches outlive pods.",
    Severity.WARNING,
)
