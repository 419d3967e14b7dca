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
