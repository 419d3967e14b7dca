"""No delay between leaving the endpoints and the stop signal (LD101, no-drain-delay).

What it finds
    A container that serves traffic (a Service selects its pod) without a preStop hook that waits.

Why it loses requests
    Endpoint removal and the stop signal run in parallel: until every node has heard, new connections go to a
    process that has stopped listening.

Fix and its safety
    Safe: a native preStop sleep (exec sleep below Kubernetes 1.30 where the image has one), with the grace period
    raised in the same edit so that the drain still fits.

When not to care
    A server that keeps accepting for a while after the stop signal by itself (Traefik's requestAcceptGraceTimeout),
    or a pod that serves nobody.

Evidence
    Pod lifecycle, Kubernetes documentation; kubernetes/kubernetes issues 43576 and 86280. Native sleep: KEP-3960,
    beta and on in 1.30, stable in 1.34.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lameduck.core.finding import Defect, Fix, Safety, Severity
from lameduck.defects.snippets import drain_window

DEFECT = Defect(
    "LD101",
    "no-drain-delay",
    "No delay between leaving the endpoints and the stop signal",
    "Endpoint removal and the stop signal run in parallel: until every node has heard, new connections go to a "
    "process that has stopped listening.",
    Severity.ERROR,
)


def proof_fix(facts: Mapping[str, Any]) -> Fix | None:
    """preStop sleep and the grace that fits; facts: ``pre_stop_seconds``, ``grace_seconds`` (int, s)."""
    return drain_window(facts, Safety.SAFE)
