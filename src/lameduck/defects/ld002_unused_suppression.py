"""A suppression that suppresses nothing (LD002, unused-suppression).

What it finds
    A '# lameduck: ignore[...]' comment or a lameduck.dev/ignore annotation that no finding needs.

Why it loses requests
    A stale ignore hides the next real defect at the same place.

Fix and its safety
    Safe: remove the comment.
"""

from __future__ import annotations

from lameduck.core.finding import Defect, Severity

DEFECT = Defect(
    "LD002",
    "unused-suppression",
    "A suppression that suppresses nothing",
    "A stale ignore hides the next real defect at the same place.",
    Severity.WARNING,
)
