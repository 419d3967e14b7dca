"""The ingress sends to the Service's address, not to pods (LD603, ingress-bypasses-endpoints).

What it finds
    nginx.ingress.kubernetes.io/service-upstream or Traefik's nativelb.

Why it loses requests
    Kept-alive connections stick to a dying pod and a retry has nowhere else to go.

Fix and its safety
    Unsafe: remove the annotation.

When not to care
    A mesh needs it.
"""

from __future__ import annotations

from lameduck.core.finding import Defect, Severity

DEFECT = Defect(
    "LD603",
    "ingress-bypasses-endpoints",
    "The ingress sends to the Service's address, not to pods",
    "Kept-alive connections stick to a dying pod and a retry has nowhere else to go.",
    Severity.WARNING,
)
