"""The server waits for ever (LD802, drain-unbounded).

What it finds
    uvicorn without --timeout-graceful-shutdown.

Why it loses requests
    One stuck stream uses the whole grace period.

Fix and its safety
    Safe: the flag.
"""

from __future__ import annotations

from lameduck.core.finding import Defect, Severity

DEFECT = Defect(
    "LD802",
    "drain-unbounded",
    "The server waits for ever",
    "One stuck stream uses the whole grace period.",
    Severity.INFO,
)
