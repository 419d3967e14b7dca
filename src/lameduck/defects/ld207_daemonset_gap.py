"""A DaemonSet that leaves its node without a server (LD207, daemonset-gap).

What it finds
    A DaemonSet behind a Service whose traffic stays on the node (internalTrafficPolicy or externalTrafficPolicy
    Local).

Why it loses requests
    Its default is maxUnavailable 1 and maxSurge 0: the old pod of a node ends before the new one starts.

Fix and its safety
    Unsafe: maxSurge 1 and maxUnavailable 0 (Kubernetes 1.25 and newer, not with a host port).

When not to care
    Node agents that serve nobody.

Evidence
    KEP-1591.

Example
    web.yaml:
        apiVersion: apps/v1
        kind: DaemonSet
        metadata: {name: web}
        spec:
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
        spec: {internalTrafficPolicy: Local, selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}

Mended by lameduck fix
    --- a/web.yaml
    +++ b/web.yaml
    @@ -12,6 +12,10 @@
               ports: [{containerPort: 8080, name: http}]
               readinessProbe: {httpGet: {path: /r, port: 8080}}
               lifecycle: {preStop: {sleep: {seconds: 5}}}
    +  updateStrategy:
    +    rollingUpdate:
    +      maxSurge: 1
    +      maxUnavailable: 0
     ---
     apiVersion: v1
     kind: Service
"""

from __future__ import annotations

from collections.abc import Iterator

from lameduck.core.finding import Confidence, Defect, Finding, Fix, Safety, Severity
from lameduck.defects.lintkit import finding, fix_of, supports, tried, who
from lameduck.manifests.project import Project
from lameduck.manifests.splice import put
from lameduck.manifests.workloads import Workload
from lameduck.manifests.yamlnode import Node

DEFECT = Defect(
    "LD207",
    "daemonset-gap",
    "A DaemonSet that leaves its node without a server",
    "Its default is maxUnavailable 1 and maxSurge 0: the old pod of a node ends before the new one starts.",
    Severity.WARNING,
)


def lint(project: Project) -> Iterator[Finding]:
    """DaemonSets whose node has no other server during the update."""
    if not supports(project, 1, 25):
        return
    for workload in project.workloads:
        if workload.kind != "DaemonSet" or workload.pod["hostNetwork"].boolean:
            continue
        if any(port["hostPort"].integer for one in workload.containers for port in one.node["ports"].items()):
            continue
        local = [one for one in project.services(workload) if _is_local(one.object.node["spec"])]
        rolling = workload.spec["updateStrategy"]["rollingUpdate"]
        if not local or (rolling["maxSurge"].string or "0") not in {"0", "0%"}:
            continue
        message = (
            f"{who(workload)}: its old pod ends before the new one of the node starts, and Service {local[0].name} "
            f"keeps traffic on the node"
        )
        place = workload.object.node.at("metadata", "name").entry_span
        fix = tried(lambda workload=workload: _fix(workload))  # type: ignore[misc]
        yield finding(DEFECT, message, place, Confidence.LIKELY, fix=fix)


def _is_local(spec: Node) -> bool:
    return "Local" in {spec["internalTrafficPolicy"].string, spec["externalTrafficPolicy"].string}


def _fix(workload: Workload) -> Fix | None:
    edits = put(workload.spec, ("updateStrategy", "rollingUpdate"), {"maxSurge": 1, "maxUnavailable": 0})
    return fix_of("start the new pod of a node first", Safety.UNSAFE, (workload.spec.text, edits))
