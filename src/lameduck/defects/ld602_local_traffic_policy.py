"""Local traffic policy leaves nodes without an endpoint (LD602, local-traffic-policy).

What it finds
    externalTrafficPolicy or internalTrafficPolicy Local.

Why it loses requests
    Traffic to a node whose last pod terminates is dropped below 1.26.

Fix and its safety
    None.

Evidence
    KEP-1669.

Example
    web.yaml:
        apiVersion: apps/v1
        kind: DaemonSet
        metadata: {name: web}
        spec:
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
        spec: {internalTrafficPolicy: Local, selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}
"""

from __future__ import annotations

from collections.abc import Iterator

from lameduck.core.finding import Confidence, Defect, Finding, Severity
from lameduck.defects.lintkit import finding
from lameduck.manifests.project import Project

DEFECT = Defect(
    "LD602",
    "local-traffic-policy",
    "Local traffic policy leaves nodes without an endpoint",
    "Traffic to a node whose last pod terminates is dropped below 1.26.",
    Severity.INFO,
)


def lint(project: Project) -> Iterator[Finding]:
    """Services that keep traffic on the node, on clusters that then drop it."""
    for service in project.cluster.services:
        for key in ("externalTrafficPolicy", "internalTrafficPolicy"):
            node = service.object.node["spec"][key]
            if node.string == "Local":
                version = project.settings.kubernetes
                old = version is not None and version < (1, 26)
                message = f"Service {service.name}: a node whose last pod terminates has nobody left to serve"
                yield finding(DEFECT, message, node.entry_span, Confidence.LIKELY if old else Confidence.POSSIBLE)
