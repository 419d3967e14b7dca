"""Routed to before it listened (LD910, served-before-ready).

What is seen
    A connect refused by a pod that had not listened yet.

Why it happens
    A new pod was routed to before it could answer.

Usual causes
    LD301: without a readiness probe a pod counts as ready the moment it starts.

What to do
    A readiness probe that asks what requests need.
"""

from __future__ import annotations

from lameduck.core.finding import Defect, Severity

DEFECT = Defect(
    "LD910",
    "served-before-ready",
    "Routed to before it listened",
    "A new pod was routed to before it could answer.",
    Severity.ERROR,
)
