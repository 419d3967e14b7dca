"""A field in a place where the API drops it (LD003, misplaced-field).

What it finds
    A strategy, grace period, lifecycle, probe or minReadySeconds block one level too high or too low, or spelt in
    the wrong case.

Why it loses requests
    The API server prunes it with a warning at most, so the defaults rule instead of what was written.

Fix and its safety
    Safe where it can move to its right place without a conflict: the block is moved.

When not to care
    Custom resources have their own schemas and are not judged.

Evidence
    Server-side field validation defaults to Warn for clients that do not ask for Strict; kubectl asks for it, Helm,
    GitOps tools and client libraries mostly do not.

Example
    web.yaml:
        apiVersion: apps/v1
        kind: Deployment
        metadata: {name: web}
        spec:
          replicas: 3
          updateStrategy: {type: RollingUpdate}
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
    -  updateStrategy: {type: RollingUpdate}
    +  strategy: {type: RollingUpdate}
       selector: {matchLabels: {app: web}}
       template:
         metadata: {labels: {app: web}}
"""

from __future__ import annotations

from collections.abc import Iterator

from lameduck.core.finding import Confidence, Defect, Finding, Fix, Safety, Severity
from lameduck.defects.fields import Misplaced, mend, misplaced
from lameduck.defects.lintkit import finding, fix_of, tried, who
from lameduck.defects.rollouts import least_replicas
from lameduck.manifests.project import Project
from lameduck.manifests.workloads import Workload

DEFECT = Defect(
    "LD003",
    "misplaced-field",
    "A field in a place where the API drops it",
    "The API server prunes it with a warning at most, so the defaults rule instead of what was written.",
    Severity.ERROR,
)


def lint(project: Project) -> Iterator[Finding]:
    """Fields of workloads and Services that stand where the API drops them."""
    for workload in project.workloads:
        for one in misplaced(workload):
            if one.rename:
                what = f"{one.key} is no field here, {one.rename} is"
            else:
                what = f"{one.key} is no field here, it belongs into {one.belongs}"
            message = f"{who(workload)}: {what}; the API drops it silently{_effective(project, workload, one)}"
            fix = tried(lambda one=one: _fix(one))  # type: ignore[misc]
            yield finding(DEFECT, message, one.node.key_span, Confidence.CERTAIN, fix=fix)
    for thing in project.cluster.objects:
        if thing.kind == "Service" and not thing.group and thing.node["publishNotReadyAddresses"]:
            node = thing.node["publishNotReadyAddresses"]
            message = f"{thing.title}: publishNotReadyAddresses belongs into spec; the API drops it silently"
            yield finding(DEFECT, message, node.key_span, Confidence.CERTAIN)


def _fix(one: Misplaced) -> Fix | None:
    title = f"call it {one.rename}" if one.rename else f"move it into {one.belongs}"
    return fix_of(title, Safety.SAFE, (one.node.text, mend(one)))


def _effective(project: Project, workload: Workload, one: Misplaced) -> str:
    """What holds instead, where that is known."""
    if one.key in {"strategy", "rollingUpdate", "maxSurge", "maxUnavailable"} and workload.kind == "Deployment":
        written = workload.spec["strategy"]
        if written.at("rollingUpdate").keys():
            return ""
        replicas = least_replicas(project, workload) or 1
        return (
            f", so the defaults hold: maxSurge 25 % ({-(-replicas * 25 // 100)} of {replicas}), "
            f"maxUnavailable 25 % ({replicas * 25 // 100} of {replicas})"
        )
    if one.key.lower() == "terminationgraceperiodseconds":
        grace = workload.grace
        return f", so {grace} s hold" if grace is not None else ""
    if one.key.lower() in {"lifecycle", "prestop"}:
        return ", so there is no delay before the stop signal"
    return ""
