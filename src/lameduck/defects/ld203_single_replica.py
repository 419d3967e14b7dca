"""One replica behind a Service (LD203, single-replica).

What it finds
    replicas 1 (or unset, or an autoscaler's minReplicas 1) behind a Service.

Why it loses requests
    A node drain or eviction takes the only pod: no budget can prevent the gap.

Fix and its safety
    Unsafe: replicas 2.

When not to care
    Singletons by design.

Example
    web.yaml:
        apiVersion: apps/v1
        kind: Deployment
        metadata: {name: web}
        spec:
          replicas: 1
          selector: {matchLabels: {app: web}}
          template:
            metadata: {labels: {app: web}}
            spec:
              containers:
                - name: web
                  image: registry.example/web:1
                  ports: [{containerPort: 8080, name: http}]
                  readinessProbe: {httpGet: {path: /r, port: 8080}}
                  lifecycle: {preStop: {sleep: {seconds: 5}}}
        ---
        apiVersion: v1
        kind: Service
        metadata: {name: web}
        spec: {selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}
"""

from __future__ import annotations

from collections.abc import Iterator

from lameduck.core.finding import Confidence, Defect, Finding, Severity
from lameduck.defects.lintkit import finding, who
from lameduck.defects.rollouts import services_text
from lameduck.manifests.project import Project

DEFECT = Defect(
    "LD203",
    "single-replica",
    "One replica behind a Service",
    "A node drain or eviction takes the only pod: no budget can prevent the gap.",
    Severity.WARNING,
)


def lint(project: Project) -> Iterator[Finding]:
    """Deployments with one replica, written so."""
    for workload in project.workloads:
        node = workload.spec["replicas"]
        services = services_text(project, workload)
        if (
            workload.kind != "Deployment"
            or node.integer != 1
            or not services
            or project.cluster.autoscaler_of(workload)
        ):
            continue
        message = (
            f"{who(workload)}: one replica behind {services}: draining "
            "its node takes the only pod, no budget can prevent it"
        )
        # A rollout itself loses nothing by it: a remark, not a warning.
        yield finding(DEFECT, message, node.entry_span, Confidence.POSSIBLE, severity=Severity.INFO)
