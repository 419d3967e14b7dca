"""A grace period that node removal will not honour (LD110, grace-beyond-node-limit).

What it finds
    terminationGracePeriodSeconds above 600 on a pod that serves traffic.

Why it loses requests
    The cluster autoscaler waits 600 s by default (max-graceful-termination-sec), then the node goes.

Fix and its safety
    None.

When not to care
    Node pools that are never scaled down.

Evidence
    Cluster autoscaler flag max-graceful-termination-sec.

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
              terminationGracePeriodSeconds: 3600
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

from lameduck.core.finding import Defect, Finding, Severity
from lameduck.defects.lintkit import finding, served, who
from lameduck.manifests.project import Project

DEFECT = Defect(
    "LD110",
    "grace-beyond-node-limit",
    "A grace period that node removal will not honour",
    "The cluster autoscaler waits 600 s by default (max-graceful-termination-sec), then the node goes.",
    Severity.INFO,
)


LIMIT = 600
"""The cluster autoscaler's default for max-graceful-termination-sec."""


def lint(project: Project) -> Iterator[Finding]:
    """Very long grace periods on pods that serve."""
    seen: set[int] = set()
    for one in served(project):
        node = one.workload.pod["terminationGracePeriodSeconds"]
        if node.integer is not None and node.integer > LIMIT and id(node.raw) not in seen:
            seen.add(id(node.raw))
            message = (
                f"{who(one.workload)}: a node that the autoscaler removes "
                f"is gone after {LIMIT} s by default, not {node.integer} s"
            )
            yield finding(DEFECT, message, node.entry_span, one.confidence)
