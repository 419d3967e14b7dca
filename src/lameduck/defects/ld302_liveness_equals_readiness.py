"""Liveness and readiness probe are the same (LD302, liveness-equals-readiness).

What it finds
    The same action and thresholds in both probes.

Why it loses requests
    Overload then turns into a restart of pods with requests in flight.

Fix and its safety
    None.

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
                  readinessProbe: {httpGet: {path: /r, port: 8080}}
                  livenessProbe: {httpGet: {path: /r, port: 8080}}
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
from lameduck.defects.lintkit import finding, served, who
from lameduck.manifests.project import Project

DEFECT = Defect(
    "LD302",
    "liveness-equals-readiness",
    "Liveness and readiness probe are the same",
    "Overload then turns into a restart of pods with requests in flight.",
    Severity.WARNING,
)


def lint(project: Project) -> Iterator[Finding]:
    """Probes that are the same in every respect."""
    for one in served(project):
        live, ready = one.container.node["livenessProbe"], one.container.node["readinessProbe"]
        if not live.keys() or live.data != ready.data or live["tcpSocket"]:
            continue
        message = (
            f"{who(one.workload, one.container)}: overload fails both "
            "probes, and liveness then restarts it with requests in flight"
        )
        yield finding(DEFECT, message, live.key_span, Confidence.POSSIBLE, severity=Severity.WARNING)
