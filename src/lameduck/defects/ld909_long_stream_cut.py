"""Long stream cut (LD909, long-stream-cut).

What is seen
    An answer whose first byte came 5 s or more before its pod's exit, and which ended truncated with it.

Why it happens
    A long answer was still being read when its pod ended.

Usual causes
    Streams, long polls, large downloads: no grace period is long enough for an endless one.

What to do
    Let the client reconnect: end streams on the stop signal (1001, GOAWAY, retry:), spread over the window.
"""

from __future__ import annotations

from lameduck.core.finding import Defect, Severity

DEFECT = Defect(
    "LD909",
    "long-stream-cut",
    "Long stream cut",
    "A long answer was still being read when its pod ended.",
    Severity.ERROR,
)
