"""The server's drain limit is shorter than its requests (LD801, drain-shorter-than-requests).

What it finds
    A known drain limit below the configured max-request-seconds.

Why it loses requests
    It gives up waiting and cuts what is in flight.

Fix and its safety
    Unsafe: the server's flag.

Evidence
    Measured and read in source.
"""

from __future__ import annotations

from lameduck.core.finding import Defect, Severity

DEFECT = Defect(
    "LD801",
    "drain-shorter-than-requests",
    "The server's drain limit is shorter than its requests",
    "It gives up waiting and cuts what is in flight.",
    Severity.WARNING,
)
