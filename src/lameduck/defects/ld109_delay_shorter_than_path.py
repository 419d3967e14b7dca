"""The preStop delay is shorter than the path needs (LD109, delay-shorter-than-path).

What it finds
    A preStop sleep below the deregistration time of the configured path (in-cluster, ingress-nginx, aws-alb,
    aws-nlb, gke-neg …).

Why it loses requests
    Load balancers deregister a target after tens of seconds; until then they send new connections to a pod that has
    stopped.

Fix and its safety
    Unsafe: the path's seconds, with the grace period raised in the same edit.

When not to care
    A path that lameduck measured to be faster: lameduck prove.

Evidence
    kubernetes-sigs/aws-load-balancer-controller issues 1064, 2106, 2366.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lameduck.core.finding import Defect, Fix, Safety, Severity
from lameduck.defects.snippets import drain_window

DEFECT = Defect(
    "LD109",
    "delay-shorter-than-path",
    "The preStop delay is shorter than the path needs",
    "Load balancers deregister a target after tens of seconds; until then they send new connections to a pod "
    "that has stopped.",
    Severity.WARNING,
)


def proof_fix(facts: Mapping[str, Any]) -> Fix | None:
    """A longer preStop sleep with the grace that fits; facts: ``pre_stop_seconds``, ``grace_seconds`` (int, s)."""
    return drain_window(facts, Safety.UNSAFE)
