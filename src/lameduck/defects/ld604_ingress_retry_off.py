"""The ingress does not try the next pod (LD604, ingress-retry-off).

What it finds
    nginx.ingress.kubernetes.io/proxy-next-upstream: off.

Why it loses requests
    A refused connection becomes a 502 at the client.

Fix and its safety
    Unsafe: remove the annotation.
"""

from __future__ import annotations

from lameduck.core.finding import Defect, Severity

DEFECT = Defect(
    "LD604",
    "ingress-retry-off",
    "The ingress does not try the next pod",
    "A refused connection becomes a 502 at the client.",
    Severity.WARNING,
)
