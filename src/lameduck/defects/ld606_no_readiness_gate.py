"""No readiness gate for a load balancer with pod targets (LD606, no-readiness-gate).

What it finds
    An ALB or NLB path in ip mode without a readiness gate.

Why it loses requests
    The rollout goes on before the new target is healthy.

Fix and its safety
    None.

When not to care
    The namespace label injects it.
"""

from __future__ import annotations

from collections.abc import Iterator

from lameduck.core.finding import Confidence, Defect, Finding, Severity
from lameduck.defects.lintkit import finding, served, who
from lameduck.manifests.project import Project

DEFECT = Defect(
    "LD606",
    "no-readiness-gate",
    "No readiness gate for a load balancer with pod targets",
    "The rollout goes on before the new target is healthy.",
    Severity.INFO,
)


def lint(project: Project) -> Iterator[Finding]:
    """Pods that are targets of a load balancer, without a readiness gate."""
    if project.settings.path not in {"aws-alb", "aws-nlb"}:
        return
    injected = {
        one.name
        for one in project.cluster.objects
        if one.kind == "Namespace" and one.node.at("metadata", "labels")["elbv2.k8s.aws/pod-readiness-gate-inject"]
    }
    for one in served(project):
        if one.workload.pod["readinessGates"] or one.workload.object.namespace in injected:
            continue
        message = f"{who(one.workload)}: the rollout goes on before {project.settings.path} sends to the new pod"
        yield finding(DEFECT, message, one.workload.object.node.at("metadata", "name").entry_span, Confidence.POSSIBLE)
