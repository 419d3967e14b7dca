"""Recreate strategy behind a Service (LD201, recreate-behind-service).

What it finds
    strategy Recreate on a Deployment that a Service selects; OnDelete is said as a remark.

Why it loses requests
    Every old pod ends before the first new one starts: the Service has no endpoint in between.

Fix and its safety
    Unsafe: RollingUpdate with maxUnavailable 0 and maxSurge 1.

When not to care
    A single-writer volume, a host port, a schema lock: then the gap is the price, say so with an ignore.

Evidence
    Deployment controller, rolloutRecreate.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lameduck.core.finding import Defect, Fix, Safety, Severity
from lameduck.defects.snippets import rolling_update

DEFECT = Defect(
    "LD201",
    "recreate-behind-service",
    "Recreate strategy behind a Service",
    "Every old pod ends before the first new one starts: the Service has no endpoint in between.",
    Severity.ERROR,
)


def proof_fix(facts: Mapping[str, Any]) -> Fix | None:  # noqa: ARG001
    """RollingUpdate without unavailable pods; no facts are needed."""
    return rolling_update(Safety.UNSAFE)
