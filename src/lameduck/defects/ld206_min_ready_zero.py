"""minReadySeconds 0 behind an external load balancer (LD206, min-ready-zero).

What it finds
    A load balancer path, no readiness gate and minReadySeconds 0.

Why it loses requests
    A new pod counts as available as soon as it is ready, before the load balancer sends to it; the old one leaves
    too early.

Fix and its safety
    Unsafe: minReadySeconds 15.

When not to care
    Readiness gates are injected.
"""

from __future__ import annotations

from collections.abc import Iterator

from lameduck.core.finding import Confidence, Defect, Finding, Severity
from lameduck.defects.lintkit import finding, served, who
from lameduck.manifests.project import Project

DEFECT = Defect(
    "LD206",
    "min-ready-zero",
    "minReadySeconds 0 behind an external load balancer",
    "A new pod counts as available as soon as it is ready, before the load balancer sends to it; the old one "
    "leaves too early.",
    Severity.INFO,
)


_BALANCERS = {"aws-alb", "aws-nlb", "gke-neg"}


def lint(project: Project) -> Iterator[Finding]:
    """Deployments behind a load balancer that count as available at once."""
    if project.settings.path not in _BALANCERS:
        return
    for one in served(project):
        workload = one.workload
        if workload.kind != "Deployment" or workload.spec["minReadySeconds"].integer or workload.pod["readinessGates"]:
            continue
        message = (
            f"{who(workload)}: minReadySeconds 0: the old pod goes before {project.settings.path} sends to the new one"
        )
        yield finding(DEFECT, message, workload.object.node.at("metadata", "name").entry_span, Confidence.LIKELY)
