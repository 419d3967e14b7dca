"""A grace period of zero (LD103, zero-grace).

What it finds
    terminationGracePeriodSeconds 0 (error) or 1 (warning) on a pod that serves traffic.

Why it loses requests
    With 0 the kubelet skips preStop and kills at once; with 1 it leaves two seconds at most.

Fix and its safety
    Safe: remove the field, so that the default of 30 s holds.

When not to care
    Stateless batch pods that nobody calls.

Evidence
    kubelet killContainer: preStop runs only if the grace period is above 0.

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
              terminationGracePeriodSeconds: 0
              containers:
                - name: web
                  image: registry.example/web:1
                  ports: [{containerPort: 8080, name: http}]
                  readinessProbe: {httpGet: {path: /r, port: 8080}}
        ---
        apiVersion: v1
        kind: Service
        metadata: {name: web}
        spec: {selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}

Mended by lameduck fix
    --- a/web.yaml
    +++ b/web.yaml
    @@ -8,7 +8,6 @@
       template:
         metadata: {labels: {app: web}}
         spec:
    -      terminationGracePeriodSeconds: 0
           containers:
             - name: web
               image: registry.example/web:1
"""

from __future__ import annotations

from collections.abc import Iterator

from lameduck.core.finding import Defect, Finding, Safety, Severity
from lameduck.defects.lintkit import finding, fix_of, served, tried, who
from lameduck.manifests.project import Project
from lameduck.manifests.splice import remove

DEFECT = Defect(
    "LD103",
    "zero-grace",
    "A grace period of zero",
    "With 0 the kubelet skips preStop and kills at once; with 1 it leaves two seconds at most.",
    Severity.ERROR,
)


def lint(project: Project) -> Iterator[Finding]:
    """Grace periods of zero or one on pods that serve."""
    seen: set[int] = set()
    for one in served(project):
        workload, node = one.workload, one.workload.pod["terminationGracePeriodSeconds"]
        if node.integer not in {0, 1} or id(node.raw) in seen:
            continue
        seen.add(id(node.raw))
        effect = (
            "preStop is skipped and SIGKILL comes at once" if node.integer == 0 else "SIGKILL comes after 2 s at most"
        )
        fix = tried(
            lambda workload=workload: fix_of(  # type: ignore[misc]
                "the default of 30 s",
                Safety.SAFE,
                (workload.pod.text, remove(workload.pod, "terminationGracePeriodSeconds")),
            )
        )
        severity = None if node.integer == 0 else Severity.WARNING
        message = f"{who(workload)} serves ({one.by}) with a grace period of {node.integer} s: {effect}"
        yield finding(DEFECT, message, node.entry_span, one.confidence, severity=severity, fix=fix)
