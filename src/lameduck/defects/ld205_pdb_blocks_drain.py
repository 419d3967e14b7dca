"""A PodDisruptionBudget that never allows an eviction (LD205, pdb-blocks-drain).

What it finds
    maxUnavailable 0, or minAvailable at or above the replicas.

Why it loses requests
    The drain hangs until somebody forces it, and then nothing is graceful.

Fix and its safety
    Unsafe: maxUnavailable 1.

When not to care
    Quorum systems on purpose.

Evidence
    unhealthyPodEvictionPolicy: KEP-3017, stable in 1.31.

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
        spec: {selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}
        ---
        apiVersion: policy/v1
        kind: PodDisruptionBudget
        metadata: {name: w}
        spec: {maxUnavailable: 0, selector: {matchLabels: {app: web}}}

Mended by lameduck fix
    --- a/web.yaml
    +++ b/web.yaml
    @@ -23,4 +23,4 @@
     apiVersion: policy/v1
     kind: PodDisruptionBudget
     metadata: {name: w}
    -spec: {maxUnavailable: 0, selector: {matchLabels: {app: web}}}
    +spec: {maxUnavailable: 1, selector: {matchLabels: {app: web}}}
"""

from __future__ import annotations

from collections.abc import Iterator

from lameduck.core.finding import Confidence, Defect, Edit, Finding, Fix, Safety, Severity
from lameduck.defects.lintkit import finding, fix_of, tried
from lameduck.defects.rollouts import least_replicas, scaled
from lameduck.manifests.project import Project
from lameduck.manifests.splice import Refused, put
from lameduck.manifests.workloads import KubeObject, matches, same_namespace

DEFECT = Defect(
    "LD205",
    "pdb-blocks-drain",
    "A PodDisruptionBudget that never allows an eviction",
    "The drain hangs until somebody forces it, and then nothing is graceful.",
    Severity.WARNING,
)


def lint(project: Project) -> Iterator[Finding]:
    """Budgets that never allow an eviction of a workload in the input."""
    for budget in project.cluster.budgets:
        spec = budget.node["spec"]
        for workload in project.workloads:
            if not same_namespace(budget, workload.object) or not matches(spec["selector"], workload.labels):
                continue
            replicas = least_replicas(project, workload)
            if workload.is_batch or not replicas:
                continue
            unavailable, available = spec["maxUnavailable"], spec["minAvailable"]
            if unavailable.string in {"0", "0%"}:
                node, what = unavailable, f"maxUnavailable {unavailable.string}"
            elif available and (least := scaled(available, replicas, up=True)) is not None and least >= replicas:
                node, what = available, f"minAvailable {available.string} of {replicas} replicas"
            else:
                continue
            # One replica with minAvailable 1 is a common way to say "ask me first".
            confidence = Confidence.LIKELY if replicas > 1 else Confidence.POSSIBLE
            message = (
                f"{budget.title}: {what} never lets {workload.object.title} "
                "be evicted: a node drain hangs until it is forced"
            )
            fix = tried(lambda budget=budget: _fix(budget))  # type: ignore[misc]
            yield finding(DEFECT, message, node.entry_span, confidence, fix=fix)
            break


def _fix(budget: KubeObject) -> Fix | None:
    spec = budget.node["spec"]
    edits: list[Edit] = []
    if spec["minAvailable"]:
        if spec.is_flow or spec["minAvailable"].merged:
            raise Refused("it is written in one line")
        node = spec["minAvailable"]
        edits.append(Edit(node.entry_start, node.end, "maxUnavailable: 1"))
    else:
        edits += put(spec, ("maxUnavailable",), 1)
    return fix_of("let one pod go at a time", Safety.UNSAFE, (spec.text, edits))
