"""Rolling updates as arithmetic: how few pods may be available, and what forbids two at a time.

Law: percentages resolve as the Deployment controller does (ResolveFenceposts): surge rounds up, unavailable rounds
down, and when both come to zero one pod may be unavailable. Absent values are the API's defaults: one replica, 25 %
and 25 %.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from lameduck.manifests.project import Project
from lameduck.manifests.workloads import Workload
from lameduck.manifests.yamlnode import Node


@dataclass(frozen=True, slots=True)
class Fenceposts:
    """A Deployment's numbers during a rollout."""

    replicas: int
    surge: int
    unavailable: int
    text: str
    """The numbers as a sentence's beginning."""
    place: Node
    """Where to point."""
    written: bool
    """Whether the replicas are written down."""

    @property
    def least(self) -> int:
        """How few pods may be available."""
        return self.replicas - self.unavailable


def scaled(node: Node, replicas: int, *, up: bool) -> int | None:
    """An int-or-percent of the replicas; None for anything else."""
    match = re.fullmatch(r"(\d+)(%?)", node.string or "")
    if match is None:
        return None
    number = int(match[1])
    if not match[2]:
        return number
    return -(-number * replicas // 100) if up else number * replicas // 100


def least_replicas(project: Project, workload: Workload) -> int | None:
    """The fewest replicas there can be: an autoscaler's minimum, else what is written, else 1; None when unknown."""
    autoscaler = project.cluster.autoscaler_of(workload)
    if autoscaler is not None:
        spec = autoscaler.node["spec"]
        minimum = spec["minReplicaCount"] if autoscaler.kind == "ScaledObject" else spec["minReplicas"]
        return minimum.integer if minimum else 1
    node = workload.spec["replicas"]
    if node and not node.is_null:
        return node.integer
    return 1


def fenceposts(project: Project, workload: Workload) -> Fenceposts | None:
    """A Deployment's numbers; None for other kinds, other strategies, and what is no number."""
    if workload.kind != "Deployment":
        return None
    strategy = workload.spec["strategy"]
    if strategy["type"].string not in {None, "RollingUpdate"}:
        return None
    replicas = least_replicas(project, workload)
    rolling = strategy["rollingUpdate"]
    surge_node, down_node = rolling["maxSurge"], rolling["maxUnavailable"]
    if replicas is None or (not surge_node and not down_node):
        return None
    surge = scaled(surge_node, replicas, up=True) if surge_node else -(-25 * replicas // 100)
    down = scaled(down_node, replicas, up=False) if down_node else 25 * replicas // 100
    if surge is None or down is None:
        return None
    resolved = 1 if surge == 0 and down == 0 else down
    place = down_node or surge_node
    said = f"replicas {replicas}, maxSurge {surge_node.string or '25%'}, maxUnavailable {down_node.string or '25%'}"
    if resolved != down:
        said += " (both come to 0, so the controller takes 1)"
    written = bool(workload.spec["replicas"]) or project.cluster.autoscaler_of(workload) is not None
    return Fenceposts(replicas, surge, resolved, said, place, written)


def services_text(project: Project, workload: Workload) -> str:
    """``Service a, b``, or "" when none selects the workload."""
    names = ", ".join(service.name for service in project.services(workload))
    return f"Service {names}" if names else ""


def needs_one_writer(project: Project, workload: Workload) -> str:
    """Why two pods at a time may be impossible: "" when nothing says so."""
    pod = workload.pod
    if pod["hostNetwork"].boolean:
        return "it uses the host's network"
    if any(port["hostPort"].integer for one in workload.containers for port in one.node["ports"].items()):
        return "it uses a host port"
    for volume in pod["volumes"].items():
        claim = volume.at("persistentVolumeClaim", "claimName").string
        if claim is None:
            continue
        known = next((one for one in project.cluster.claims if one.name == claim), None)
        modes = known.node.at("spec", "accessModes").strings if known else None
        if modes is None or not set(modes) & {"ReadWriteMany", "ReadOnlyMany"}:
            return f"volume claim {claim} may allow one writer only"
    return ""
