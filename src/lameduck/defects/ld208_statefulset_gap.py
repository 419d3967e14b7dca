"""A StatefulSet of one replica behind a Service (LD208, statefulset-gap).

What it finds
    A StatefulSet with replicas 1 behind a Service.

Why it loses requests
    StatefulSets have no surge: each update is a gap.

Fix and its safety
    None.

When not to care
    Singletons by design.

Example
    web.yaml:
        apiVersion: apps/v1
        kind: StatefulSet
        metadata: {name: web}
        spec:
          replicas: 1
          serviceName: web
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
from lameduck.defects.rollouts import least_replicas, services_text
from lameduck.manifests.project import Project

DEFECT = Defect(
    "LD208",
    "statefulset-gap",
    "A StatefulSet of one replica behind a Service",
    "StatefulSets have no surge: each update is a gap.",
    Severity.INFO,
)


def lint(project: Project) -> Iterator[Finding]:
    """StatefulSets of one replica that a Service selects."""
    for workload in project.workloads:
        services = services_text(project, workload)
        if workload.kind == "StatefulSet" and services and least_replicas(project, workload) == 1:
            message = f"{who(workload)}: one replica and no surge: every update is a gap for {services}"
            yield finding(DEFECT, message, workload.object.node.at("metadata", "name").entry_span, Confidence.POSSIBLE)
