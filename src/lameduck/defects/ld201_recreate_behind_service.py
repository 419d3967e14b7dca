"""Recreate strategy behind a Service (LD201, recreate-behind-service).

What it finds
    strategy Recreate on a Deployment that a Service selects; OnDelete is said as a remark.

Why it loses requests
    Every old pod ends before the first new one starts: the Service has no endpoint in between.

Fix and its safety
    Unsafe: RollingUpdate with maxUnavailable 0 and maxSurge 1.

When not to care
    A single-writer volume, a host port, a schema lock: then the gap is the price, say so with an ignore.

Evidence
    Deployment controller, rolloutRecreate.

Example
    deployment.yaml:
        apiVersion: apps/v1
        kind: Deployment
        metadata: {name: demo-api}
        spec:
          replicas: 3
          strategy:
            type: Recreate
          selector: {matchLabels: {app: demo-api}}
          template:
            metadata: {labels: {app: demo-api}}
            spec:
              terminationGracePeriodSeconds: 30
              containers:
                - name: api
                  image: registry.example/demo-api:1
                  ports: [{containerPort: 8080}]
                  readinessProbe: {httpGet: {path: /ready, port: 8080}}
                  lifecycle: {preStop: {sleep: {seconds: 5}}}
        ---
        apiVersion: v1
        kind: Service
        metadata: {name: demo-api}
        spec:
          type: LoadBalancer
          selector: {app: demo-api}
          ports: [{port: 80, targetPort: 8080}]

Mended by lameduck fix
    --- a/deployment.yaml
    +++ b/deployment.yaml
    @@ -4,7 +4,10 @@
     spec:
       replicas: 3
       strategy:
    -    type: Recreate
    +    type: RollingUpdate
    +    rollingUpdate:
    +      maxSurge: 1
    +      maxUnavailable: 0
       selector: {matchLabels: {app: demo-api}}
       template:
         metadata: {labels: {app: demo-api}}
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from lameduck.core.finding import Confidence, Defect, Finding, Fix, Safety, Severity
from lameduck.defects.lintkit import finding, fix_of, tried, who
from lameduck.defects.rollouts import needs_one_writer, services_text
from lameduck.defects.snippets import rolling_update
from lameduck.manifests.project import Project
from lameduck.manifests.splice import put
from lameduck.manifests.workloads import Workload

DEFECT = Defect(
    "LD201",
    "recreate-behind-service",
    "Recreate strategy behind a Service",
    "Every old pod ends before the first new one starts: the Service has no endpoint in between.",
    Severity.ERROR,
)


def proof_fix(facts: Mapping[str, Any]) -> Fix | None:  # noqa: ARG001  every proof_fix is called alike
    """RollingUpdate without unavailable pods; no facts are needed."""
    return rolling_update(Safety.UNSAFE)


def lint(project: Project) -> Iterator[Finding]:
    """Recreate and OnDelete on workloads that a Service selects."""
    for workload in project.workloads:
        services = services_text(project, workload)
        if not services:
            continue
        node = workload.spec["strategy" if workload.kind == "Deployment" else "updateStrategy"]
        kind = node["type"]
        if workload.kind == "Deployment" and kind.string == "Recreate":
            reason = needs_one_writer(project, workload)
            message = (
                f"{who(workload)}: every old pod ends before a new one starts, {services} has no endpoint in between"
            )
            if reason:
                message += f"; {reason}, so the gap may be its price"
            severity = Severity.INFO if reason else None
            fix = None if reason else tried(lambda workload=workload: _fix(workload))  # type: ignore[misc]
            yield finding(DEFECT, message, kind.entry_span, Confidence.CERTAIN, severity=severity, fix=fix)
        elif kind.string == "OnDelete":
            message = f"{who(workload)}: OnDelete leaves the order of the restart to whoever deletes the pods"
            yield finding(DEFECT, message, kind.entry_span, Confidence.LIKELY, severity=Severity.INFO)


def _fix(workload: Workload) -> Fix | None:
    """RollingUpdate in the place of Recreate, with numbers that never take an available pod."""
    node = workload.spec["strategy"]
    edits = put(workload.spec, ("strategy", "type"), "RollingUpdate")
    if not node["rollingUpdate"]:
        edits += put(node, ("rollingUpdate",), {"maxSurge": 1, "maxUnavailable": 0})
    return fix_of("a rolling update that starts the new pod first", Safety.UNSAFE, (workload.spec.text, edits))
