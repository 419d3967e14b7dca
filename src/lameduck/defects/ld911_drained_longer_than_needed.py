"""Drained longer than needed (LD911, drained-longer-than-needed).

What is seen
    The preStop's delay exceeds what the measured lag suggests by 5 s or more.

Why it happens
    The preStop outlasts the traffic by far, and every rollout waits for it.

Usual causes
    A sleep that was guessed.

What to do
    The suggested seconds, or the adaptive drain.
"""

from __future__ import annotations

from lameduck.core.finding import Defect, Severity

DEFECT = Defect(
    "LD911",
    "drained-longer-than-needed",
    "Drained longer than needed",
    "The preStop outlasts the traffic by far, and every rollout waits for it.",
    Severity.INFO,
)
