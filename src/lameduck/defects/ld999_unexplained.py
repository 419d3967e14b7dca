"""Unexplained (LD999, unexplained).

What is seen
    None of the rules fits. The finding says which evidence is missing.

Why it happens
    The evidence does not decide a cause.

Usual causes
    -

What to do
    What the finding names.
"""

from __future__ import annotations

from lameduck.core.finding import Defect, Severity

DEFECT = Defect(
    "LD999",
    "unexplained",
    "Unexplained",
    "The evidence does not decide a cause.",
    Severity.ERROR,
)
