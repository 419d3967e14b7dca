"""The preStop hook stops the server at once (LD107, prestop-stops-server-first).

What it finds
    A hook that runs nginx -s quit, kill 1, apachectl graceful-stop or a shutdown endpoint without sleeping before.

Why it loses requests
    It closes the listening socket while the pod still gets traffic, and returns before the work in flight is done.

Fix and its safety
    Unsafe: sleep instead, and let the image's stop signal do the graceful stop.

When not to care
    A hook that itself waits or polls until the traffic is gone.

Evidence
    kubelet killContainer: the stop signal follows as soon as the hook returns.

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
                  lifecycle: {preStop: {exec: {command: [sh, -c, "kill -TERM 1"]}}}
        ---
        apiVersion: v1
        kind: Service
        metadata: {name: web}
        spec: {selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}

Mended by lameduck fix
    --- a/web.yaml
    +++ b/web.yaml
    @@ -13,7 +13,7 @@
               image: registry.example/web:1
               ports: [{containerPort: 8080, name: http}]
               readinessProbe: {httpGet: {path: /r, port: 8080}}
    -          lifecycle: {preStop: {exec: {command: [sh, -c, "kill -TERM 1"]}}}
    +          lifecycle: {preStop: {sleep: {seconds: 5}}}
     ---
     apiVersion: v1
     kind: Service
"""

from __future__ import annotations

from collections.abc import Iterator

from lameduck.core.finding import Confidence, Defect, Finding, Safety, Severity
from lameduck.defects.lintkit import delay_wanted, finding, fix_of, replace_hook, running, tried, who
from lameduck.manifests.hooks import hook_of
from lameduck.manifests.project import Project

DEFECT = Defect(
    "LD107",
    "prestop-stops-server-first",
    "The preStop hook stops the server at once",
    "It closes the listening socket while the pod still gets traffic, and returns before the work in flight is done.",
    Severity.WARNING,
)


def lint(project: Project) -> Iterator[Finding]:
    """Hooks that stop the server without having waited."""
    for workload, container in running(project):
        hook = hook_of(container)
        if not hook.stops or hook.delay is None or hook.delay > 0 or container.kind != "main":
            continue
        seconds = max(delay_wanted(project), round(hook.meant or 0))  # what the hook waits behind it was chosen
        fix = tried(
            lambda workload=workload, container=container, seconds=seconds: fix_of(  # type: ignore[misc]
                f"wait {seconds} s instead, and let the stop signal do the rest",
                Safety.UNSAFE,
                (container.node.text, replace_hook(project, workload, container, seconds)),
            )
        )
        message = (
            f"{who(workload, container)}: preStop runs {hook.stops!r} without waiting first: it gives no delay, "
            f"the server stops listening at once while traffic is still routed to it"
        )
        yield finding(DEFECT, message, container.pre_stop.key_span, Confidence.LIKELY, fix=fix)
