"""The rollout may take every pod away at once (LD202, rollout-reaches-zero).

What it finds
    replicas, maxSurge and maxUnavailable resolved as the controller does (surge rounds up, unavailable down, both
    zero means one unavailable): available can be 0.

Why it loses requests
    With these numbers the controller may scale the available pods down to none.

Fix and its safety
    Safe: maxUnavailable 0, maxSurge 1 (unsafe with a host port or a single-writer volume).

When not to care
    replicas is left out because an autoscaler owns it: its minReplicas counts.

Evidence
    Deployment controller, ResolveFenceposts.

Example
    web.yaml:
        apiVersion: apps/v1
        kind: Deployment
        metadata: {name: web}
        spec:
          replicas: 3
          strategy: {rollingUpdate: {maxUnavailable: 100%}}
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

Mended by lameduck fix
    --- a/web.yaml
    +++ b/web.yaml
    @@ -3,7 +3,7 @@
     metadata: {name: web}
     spec:
       replicas: 3
    -  strategy: {rollingUpdate: {maxUnavailable: 100%}}
    +  strategy: {rollingUpdate: {maxUnavailable: 0}}
       selector: {matchLabels: {app: web}}
       template:
         metadata: {labels: {app: web}}
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from lameduck.core.finding import Confidence, Defect, Edit, Finding, Fix, Safety, Severity
from lameduck.defects.lintkit import finding, fix_of, tried, who
from lameduck.defects.rollouts import Fenceposts, fenceposts, needs_one_writer, services_text
from lameduck.defects.snippets import rolling_update
from lameduck.manifests.project import Project
from lameduck.manifests.splice import put
from lameduck.manifests.workloads import Workload

DEFECT = Defect(
    "LD202",
    "rollout-reaches-zero",
    "The rollout may take every pod away at once",
    "With these numbers the controller may scale the available pods down to none.",
    Severity.ERROR,
)


def proof_fix(facts: Mapping[str, Any]) -> Fix | None:  # noqa: ARG001  every proof_fix is called alike
    """No unavailable pods, one extra; no facts are needed."""
    return rolling_update(Safety.SAFE)


def lint(project: Project) -> Iterator[Finding]:
    """Deployments whose numbers allow no available pod during a rollout."""
    for workload in project.workloads:
        services = services_text(project, workload)
        posts = fenceposts(project, workload)
        if not services or posts is None or posts.replicas == 0 or posts.least > 0:
            continue
        ports = any(port["hostPort"].integer for one in workload.containers for port in one.node["ports"].items())
        reason = needs_one_writer(project, workload)
        safety = Safety.UNSAFE if ports or reason else Safety.SAFE
        yield finding(
            DEFECT,
            f"{who(workload)}: {posts.text}: all pods behind {services} may be down at once"
            + (f" ({reason}, so a second pod beside the first may not start)" if reason else ""),
            posts.place.entry_span,
            Confidence.CERTAIN if posts.written else Confidence.LIKELY,
            severity=Severity.INFO if reason else None,
            fix=tried(lambda workload=workload, posts=posts, safety=safety: _fix(workload, posts, safety)),  # type: ignore[misc]
        )


def _fix(workload: Workload, posts: Fenceposts, safety: Safety) -> Fix | None:
    edits: list[Edit] = []
    rolling = workload.spec["strategy"]["rollingUpdate"]
    if rolling.keys():
        edits += put(rolling, ("maxUnavailable",), 0)
        if posts.surge == 0:
            edits += put(rolling, ("maxSurge",), 1)
    else:
        edits += put(workload.spec, ("strategy", "rollingUpdate"), {"maxSurge": 1, "maxUnavailable": 0})
    return fix_of("never take an available pod away", safety, (workload.spec.text, edits))
