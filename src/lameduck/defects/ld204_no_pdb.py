"""No PodDisruptionBudget (LD204, no-pdb).

What it finds
    Two or more replicas behind a Service, and no PodDisruptionBudget in the input that selects them.

Why it loses requests
    A node drain may evict all replicas at once.

Fix and its safety
    Unsafe: a new PodDisruptionBudget with maxUnavailable 1.

When not to care
    The budget is kept in another file or made by an operator.

Evidence
    Eviction API.

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
        ---
        apiVersion: v1
        kind: Service
        metadata: {name: web}
        spec: {selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}
"""

from __future__ import annotations

from collections.abc import Iterator

from lameduck.core.finding import Confidence, Defect, Finding, Severity
from lameduck.defects.lintkit import advice, finding, who
from lameduck.defects.rollouts import least_replicas, services_text
from lameduck.manifests.project import Project
from lameduck.manifests.workloads import Workload

DEFECT = Defect(
    "LD204",
    "no-pdb",
    "No PodDisruptionBudget",
    "A node drain may evict all replicas at once.",
    Severity.INFO,
)


def lint(project: Project) -> Iterator[Finding]:
    """Workloads of two or more replicas without a budget."""
    for workload in project.workloads:
        if workload.kind not in {"Deployment", "StatefulSet"} or not services_text(project, workload):
            continue
        replicas = least_replicas(project, workload)
        if replicas is None or replicas < 2 or project.cluster.budgets_of(workload):
            continue
        # Where the input has budgets of other workloads it is meant to be whole; else this one may live elsewhere.
        confidence = Confidence.LIKELY if project.cluster.budgets else Confidence.POSSIBLE
        message = (
            f"{who(workload)}: no PodDisruptionBudget selects it, so "
            f"draining nodes may take all {replicas} pods at once"
        )
        place = workload.object.node.at("metadata", "name")
        yield finding(DEFECT, message, place.entry_span, confidence, fix=advice("a budget of one", budget(workload)))


def budget(workload: Workload) -> str:
    """A PodDisruptionBudget for a workload, as a YAML document."""
    name, labels = workload.object.name, workload.spec["selector"]["matchLabels"]
    lines = ["apiVersion: policy/v1", "kind: PodDisruptionBudget", "metadata:", f"  name: {name}"]
    if workload.object.namespace:
        lines.append(f"  namespace: {workload.object.namespace}")
    lines += ["spec:", "  maxUnavailable: 1", "  selector:", "    matchLabels:"]
    lines += [f"      {key}: {_quoted(value.string or '')}" for key, value in labels.entries()]
    return "\n".join(lines) + "\n"


def _quoted(value: str) -> str:
    plain = value.replace("-", "").replace(".", "").replace("_", "").isalpha()
    return value if plain and value.lower() not in {"true", "false", "yes", "no", "on", "off", "null"} else f'"{value}"'
