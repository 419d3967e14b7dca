"""The rollout may take every pod away at once (LD202, rollout-reaches-zero).

What it finds
    replicas, maxSurge and maxUnavailable resolved as the controller does (surge rounds up, unavailable down, both
    zero means one unavailable): available can be 0.

Why it loses requests
    With these numbers the controller may scale the available pods down to none.

Fix and its safety
    Safe: maxUnavailable 0, maxSurge 1 (unsafe with a host port or a single-writer volume).

When not to care
    replicas is left out because an autoscaler owns it: its minReplicas counts.

Evidence
    Deployment controller, ResolveFenceposts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lameduck.core.finding import Defect, Fix, Safety, Severity
from lameduck.defects.snippets import rolling_update

DEFECT = Defect(
    "LD202",
    "rollout-reaches-zero",
    "The rollout may take every pod away at once",
    "With these numbers the controller may scale the available pods down to none.",
    Severity.ERROR,
)


def proof_fix(facts: Mapping[str, Any]) -> Fix | None:  # noqa: ARG001
    """No unavailable pods, one extra; no facts are needed."""
    return rolling_update(Safety.SAFE)
