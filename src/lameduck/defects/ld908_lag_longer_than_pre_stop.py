"""Propagation lag longer than the preStop (LD908, lag-longer-than-pre-stop).

What is seen
    The measured lag is longer than the preStop's delay; nothing was lost this time.

Why it happens
    Connections were still routed to pods whose preStop had already ended.

Usual causes
    LD109.

What to do
    A preStop of at least the lag and a second.
"""

from __future__ import annotations

from lameduck.core.finding import Defect, Severity

DEFECT = Defect(
    "LD908",
    "lag-longer-than-pre-stop",
    "Propagation lag longer than the preStop",
    "Connections were still routed to pods whose preStop had already ended.",
    Severity.WARNING,
)
