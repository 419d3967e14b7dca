"""Clients of a headless Service keep old addresses (LD607, headless-dns-cache).

What it finds
    A headless Service with a port that selects a Deployment.

Why it loses requests
    DNS caches outlive pods.

Fix and its safety
    None.

When not to care
    Peers that watch endpoints.

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
                  lifecycle: {preStop: {sleep: {seconds: 5}}}
        ---
        apiVersion: v1
        kind: Service
        metadata: {name: web}
        spec: {clusterIP: None, selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}
"""

from __future__ import annotations

from collections.abc import Iterator

from lameduck.core.finding import Confidence, Defect, Finding, Severity
from lameduck.defects.lintkit import finding
from lameduck.manifests.project import Project

DEFECT = Defect(
    "LD607",
    "headless-dns-cache",
    "Clients of a headless Service keep old addresses",
    "DNS caches outlive pods.",
    Severity.WARNING,
)


def lint(project: Project) -> Iterator[Finding]:
    """Headless Services of Deployments."""
    for service in project.cluster.services:
        if not service.headless or not service.ports:
            continue
        if any(service.selects(one) for one in project.workloads if one.kind == "Deployment"):
            message = (
                f"Service {service.name}: its clients resolve pods by DNS and keep addresses of pods that are gone"
            )
            yield finding(DEFECT, message, service.object.node["spec"]["clusterIP"].entry_span, Confidence.POSSIBLE)
