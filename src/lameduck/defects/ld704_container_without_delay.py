"""One serving container of the pod has no delay (LD704, container-without-delay).

What it finds
    Two serving containers, one with a waiting preStop, one without.

Why it loses requests
    The endpoint stays routed while this one has stopped.

Fix and its safety
    Safe: the same preStop.

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
                - name: admin
                  image: registry.example/admin:1
                  ports: [{containerPort: 9000}]
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
    @@ -12,6 +12,10 @@
             - name: admin
               image: registry.example/admin:1
               ports: [{containerPort: 9000}]
    +          lifecycle:
    +            preStop:
    +              sleep:
    +                seconds: 5
             - name: web
               image: registry.example/web:1
               ports: [{containerPort: 8080, name: http}]
"""

from __future__ import annotations

from collections.abc import Iterator

from lameduck.core.finding import Confidence, Defect, Finding, Safety, Severity
from lameduck.defects.lintkit import container_place, finding, fix_of, served, tried, who, window_edits
from lameduck.manifests.hooks import hook_of
from lameduck.manifests.project import Project

DEFECT = Defect(
    "LD704",
    "container-without-delay",
    "One serving container of the pod has no delay",
    "The endpoint stays routed while this one has stopped.",
    Severity.WARNING,
)


def lint(project: Project) -> Iterator[Finding]:
    """Containers with ports beside a serving one that waits, without a delay of their own."""
    for one in served(project):
        own = hook_of(one.container)
        if not own.delays or not own.delay:
            continue
        hit = {id(each.node.raw) for each in project.serving(one.workload)}
        for other in one.workload.containers:
            if id(other.node.raw) in hit or not other.ports or other.is_proxy or other.lifecycle["preStop"]:
                continue
            fix = tried(
                lambda one=one, other=other: fix_of(  # type: ignore[misc]
                    "the same delay", Safety.SAFE, (other.node.text, window_edits(project, one.workload, other))
                )
            )
            message = f"{who(one.workload, other)}: {one.container.name} waits in preStop, this one stops at once"
            yield finding(DEFECT, message, container_place(other), Confidence.POSSIBLE, fix=fix)
