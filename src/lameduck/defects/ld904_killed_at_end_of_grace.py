"""Killed at the end of the grace period (LD904, killed-at-end-of-grace).

What is seen
    Exit code 137 at the end of the grace period. preStop and drain share one grace period; at least 2 s are left
    after the hook.

Why it happens
    The app had begun to stop and was not done when the grace period ended: SIGKILL cut what was left.

Usual causes
    LD102 (grace period too small) where the app was seen to react to the stop signal.

What to do
    A grace period that holds the preStop, the slowest request and a margin. With nothing lost it is a warning:
    the next slow request would be.
"""

from __future__ import annotations

from lameduck.core.finding import Defect, Severity

DEFECT = Defect(
    "LD904",
    "killed-at-end-of-grace",
    "Killed at the end of the grace period",
    "The app had begun to stop and was not done when the grace period ended: SIGKILL cut what was left.",
    Severity.ERROR,
)
