"""preStop and drain do not fit into the grace period (LD102, grace-budget-too-small).

What it finds
    preStop seconds + the server's own drain limit (its flag or its known default) above
    terminationGracePeriodSeconds (30 when absent).

Why it loses requests
    The grace period starts before the preStop hook. What the hook eats is missing for the drain; at its end the
    kubelet kills, requests in flight with it.

Fix and its safety
    Safe: the grace period becomes the sum and 5 s of slack.

When not to care
    Scripts whose length cannot be seen are not judged. Spot nodes and node shutdown give less, whatever is written.

Evidence
    kubelet killContainer: the hook's time is subtracted, what is left is raised to at least 2 s
    (minimumGracePeriodInSeconds).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lameduck.core.finding import Defect, Fix, Severity
from lameduck.defects.snippets import grace_only

DEFECT = Defect(
    "LD102",
    "grace-budget-too-small",
    "preStop and drain do not fit into the grace period",
    "The grace period starts before the preStop hook. What the hook eats is missing for the drain; at its end "
    "the kubelet kills, requests in flight with it.",
    Severity.ERROR,
)


def proof_fix(facts: Mapping[str, Any]) -> Fix | None:
    """The grace period that fits; facts: ``grace_seconds`` (int, s)."""
    return grace_only(facts)
