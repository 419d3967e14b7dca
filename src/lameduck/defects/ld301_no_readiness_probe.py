"""No readiness probe behind a Service (LD301, no-readiness-probe).

What it finds
    A serving container without a readinessProbe in a pod that a Service selects.

Why it loses requests
    A new container counts as ready when its process starts: it gets traffic before it listens, and the rollout
    moves on too early.

Fix and its safety
    None: only its owner knows an endpoint that means 'can serve'. A liveness probe is no substitute.

When not to care
    Readiness gates, probes injected by a mesh.

Evidence
    kubernetes/kubernetes issue 20473.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lameduck.core.finding import Defect, Fix, Severity

DEFECT = Defect(
    "LD301",
    "no-readiness-probe",
    "No readiness probe behind a Service",
    "A new container counts as ready when its process starts: it gets traffic before it listens, and the "
    "rollout moves on too early.",
    Severity.ERROR,
)


def proof_fix(facts: Mapping[str, Any]) -> Fix | None:  # noqa: ARG001
    """None: only the owner of the server knows an endpoint that means 'can serve'."""
    return None
