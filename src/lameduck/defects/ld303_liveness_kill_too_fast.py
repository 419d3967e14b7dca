"""A probe's own grace period cuts the drain (LD303, liveness-kill-too-fast).

What it finds
    livenessProbe or startupProbe terminationGracePeriodSeconds below the time that the drain needs.

Why it loses requests
    A restart by a failed probe gives requests in flight only that long.

Fix and its safety
    Safe: remove the field.

Evidence
    KEP-2238, stable in 1.28.

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
                  livenessProbe: {httpGet: {path: /r, port: 8080}, terminationGracePeriodSeconds: 3}
                  lifecycle: {preStop: {sleep: {seconds: 5}}}
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
    -          livenessProbe: {httpGet: {path: /r, port: 8080}, terminationGracePeriodSeconds: 3}
    +          livenessProbe: {httpGet: {path: /r, port: 8080}}
               lifecycle: {preStop: {sleep: {seconds: 5}}}
     ---
     apiVersion: v1
"""

from __future__ import annotations

from collections.abc import Iterator

from lameduck.core.finding import Confidence, Defect, Finding, Safety, Severity
from lameduck.defects.lintkit import drain_of, finding, fix_of, served, tried, who
from lameduck.manifests.hooks import hook_of
from lameduck.manifests.project import Project
from lameduck.manifests.splice import remove

DEFECT = Defect(
    "LD303",
    "liveness-kill-too-fast",
    "A probe's own grace period cuts the drain",
    "A restart by a failed probe gives requests in flight only that long.",
    Severity.WARNING,
)


def lint(project: Project) -> Iterator[Finding]:
    """Probe-level grace periods that are shorter than the drain."""
    for one in served(project):
        grace = one.workload.grace
        drain, _ = drain_of(project, one.container)
        needed = (hook_of(one.container).seconds or 0) + (drain or 0)
        for key in ("livenessProbe", "startupProbe"):
            probe = one.container.node[key]
            node = probe["terminationGracePeriodSeconds"]
            if node.integer is None or grace is None or node.integer >= max(needed, min(grace, 10)):
                continue
            fix = tried(
                lambda probe=probe: fix_of(  # type: ignore[misc]
                    "the pod's own grace period",
                    Safety.SAFE,
                    (probe.text, remove(probe, "terminationGracePeriodSeconds")),
                )
            )
            message = (
                f"{who(one.workload, one.container)}: a restart by {key} "
                f"leaves {node.integer} s, the pod's own grace is {grace} s"
            )
            yield finding(DEFECT, message, node.entry_span, Confidence.LIKELY, fix=fix)
