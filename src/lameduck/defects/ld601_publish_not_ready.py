"""Dying pods stay in rotation (LD601, publish-not-ready).

What it finds
    publishNotReadyAddresses on a Service that serves clients.

Why it loses requests
    With publishNotReadyAddresses a terminating pod stays ready in EndpointSlices until it is gone.

Fix and its safety
    Unsafe: false.

When not to care
    Headless Services for the discovery of peers.

Evidence
    EndpointSlice controller, podToEndpoint.

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
        spec: {publishNotReadyAddresses: true, selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}

Mended by lameduck fix
    --- a/web.yaml
    +++ b/web.yaml
    @@ -18,4 +18,4 @@
     apiVersion: v1
     kind: Service
     metadata: {name: web}
    -spec: {publishNotReadyAddresses: true, selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}
    +spec: {publishNotReadyAddresses: false, selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}
"""

from __future__ import annotations

from collections.abc import Iterator

from lameduck.core.finding import Confidence, Defect, Edit, Finding, Safety, Severity
from lameduck.defects.lintkit import finding, fix_of
from lameduck.manifests.project import Project

DEFECT = Defect(
    "LD601",
    "publish-not-ready",
    "Dying pods stay in rotation",
    "With publishNotReadyAddresses a terminating pod stays ready in EndpointSlices until it is gone.",
    Severity.ERROR,
)


def lint(project: Project) -> Iterator[Finding]:
    """Services for clients that publish addresses that are not ready."""
    for service in project.cluster.services:
        node = service.object.node["spec"]["publishNotReadyAddresses"]
        if node.boolean is not True or service.headless:
            continue
        if not any(service.selects(one) for one in project.workloads if not one.is_batch):
            continue
        message = (
            f"Service {service.name}: a pod stays in rotation until it is "
            "gone: new connections go to pods that are stopping or not ready"
        )
        fix = fix_of("false", Safety.UNSAFE, (node.text, [Edit(node.start, node.end, "false")]))
        yield finding(DEFECT, message, node.entry_span, Confidence.LIKELY, fix=fix)
