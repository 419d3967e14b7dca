"""A field in a place where the API drops it (LD003, misplaced-field).

What it finds
    A strategy, grace period, lifecycle, probe or minReadySeconds block one level too high or too low, or spelt in
    the wrong case.

Why it loses requests
    The API server prunes it with a warning at most, so the defaults rule instead of what was written.

Fix and its safety
    Safe where it can move to its right place without a conflict: the block is moved.

When not to care
    Custom resources have their own schemas and are not judged.

Evidence
    Server-side field validation defaults to Warn for clients that do not ask for Strict; kubectl asks for it, Helm,
    GitOps tools and client libraries mostly do not.
"""

from __future__ import annotations

from lameduck.core.finding import Defect, Severity

DEFECT = Defect(
    "LD003",
    "misplaced-field",
    "A field in a place where the API drops it",
    "The API server prunes it with a warning at most, so the defaults rule instead of what was written.",
    Severity.ERROR,
)
