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

Example
    web.yaml:
        apiVersion: apps/v1
        kind: Deployment
        metadata: {name: web}
        spec:
          replicas: 3
          strategy: {type: RollingUpdate, rollingUpdate: {maxSurge: 1, maxUnavailable: 0}}
          selector: {matchLabels: {app: web}}
          template:
            metadata: {labels: {app: web}}
            spec:
              containers:
                - name: web
                  image: registry.example/web:1
                  ports: [{containerPort: 8080, name: http}]
                  startupProbe: {httpGet: {path: /, port: 8080}}
                  lifecycle: {preStop: {sleep: {seconds: 5}}}
        ---
        apiVersion: v1
        kind: Service
        metadata: {name: web}
        spec: {selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from lameduck.core.finding import Defect, Finding, Fix, Severity
from lameduck.defects.lintkit import container_place, finding, served, who
from lameduck.manifests.project import Project

DEFECT = Defect(
    "LD301",
    "no-readiness-probe",
    "No readiness probe behind a Service",
    "A new container counts as ready when its process starts: it gets traffic before it listens, and the "
    "rollout moves on too early.",
    Severity.ERROR,
)


def proof_fix(facts: Mapping[str, Any]) -> Fix | None:  # noqa: ARG001  every proof_fix is called alike
    """None: only the owner of the server knows an endpoint that means 'can serve'."""
    return None


def lint(project: Project) -> Iterator[Finding]:
    """Serving containers without a readiness probe."""
    for one in served(project):
        node = one.container.node
        if (
            node["readinessProbe"].keys()
            or one.workload.pod["readinessGates"]
            or project.is_patched(one.workload, "readinessProbe")
        ):
            continue
        message = (
            f"{one.by} sends traffic to {who(one.workload, one.container)}, which has no readinessProbe: "
            f"it counts as ready before it listens"
        )
        if node["livenessProbe"]:
            message += "; the livenessProbe does not stand in for it"
        severity = Severity.WARNING if one.workload.kind == "DaemonSet" else None
        yield finding(DEFECT, message, container_place(one.container), one.confidence, severity=severity)
