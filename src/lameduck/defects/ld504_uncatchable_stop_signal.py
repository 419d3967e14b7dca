"""STOPSIGNAL cannot be caught (LD504, uncatchable-stop-signal).

What it finds
    STOPSIGNAL SIGKILL or SIGSTOP (also 9, 19).

Why it loses requests
    SIGKILL and SIGSTOP reach no handler: every request in flight is lost.

Fix and its safety
    Safe: remove the line.

Evidence
    signal(7).
"""

from __future__ import annotations

from lameduck.core.finding import Defect, Severity

DEFECT = Defect(
    "LD504",
    "uncatchable-stop-signal",
    "STOPSIGNAL cannot be caught",
    "SIGKILL and SIGSTOP reach no handler: every request in flight is lost.",
    Severity.ERROR,
)
