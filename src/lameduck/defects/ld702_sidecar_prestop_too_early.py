"""A native sidecar's preStop stops it too early (LD702, sidecar-prestop-too-early).

What it finds
    A native sidecar whose preStop stops it (quitquitquit, -s quit, kill 1).

Why it loses requests
    All preStop hooks start at once, only the signal waits its turn.

Fix and its safety
    Unsafe: remove the hook.

Evidence
    kubelet killContainer calls the hook before waitForTurn.

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
              initContainers:
                - name: proxy
                  image: envoyproxy/envoy:v1.31
                  restartPolicy: Always
                  lifecycle: {preStop: {exec: {command: [nginx, -s, quit]}}}
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

Mended by lameduck fix
    --- a/web.yaml
    +++ b/web.yaml
    @@ -12,7 +12,6 @@
             - name: proxy
               image: envoyproxy/envoy:v1.31
               restartPolicy: Always
    -          lifecycle: {preStop: {exec: {command: [nginx, -s, quit]}}}
           containers:
             - name: web
               image: registry.example/web:1
"""

from __future__ import annotations

from collections.abc import Iterator

from lameduck.core.finding import Confidence, Defect, Finding, Safety, Severity
from lameduck.defects.lintkit import finding, fix_of, running, tried, who
from lameduck.manifests.hooks import hook_of
from lameduck.manifests.project import Project
from lameduck.manifests.splice import remove
from lameduck.manifests.workloads import ContainerKind

DEFECT = Defect(
    "LD702",
    "sidecar-prestop-too-early",
    "A native sidecar's preStop stops it too early",
    "All preStop hooks start at once, only the signal waits its turn.",
    Severity.ERROR,
)


def lint(project: Project) -> Iterator[Finding]:
    """Native sidecars whose hook stops them."""
    for workload, container in running(project):
        hook = hook_of(container)
        if container.kind != ContainerKind.SIDECAR or not hook.stops or hook.delay is None:
            continue
        fix = tried(
            lambda container=container: (
                fix_of(  # type: ignore[misc]
                    "remove the hook", Safety.UNSAFE, (container.node.text, remove(container.node, "lifecycle"))
                )
                if container.lifecycle.keys() == ["preStop"]
                else None
            )
        )
        message = (
            f"{who(workload, container)}: every preStop of the pod starts at once, so {hook.stops!r} stops the sidecar "
            f"while the pod's own containers still need it; only the signal waits its turn"
        )
        yield finding(DEFECT, message, container.pre_stop.key_span, Confidence.CERTAIN, fix=fix)
