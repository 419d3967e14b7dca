"""Manifests in, manifests with the complete safe set out: preStop, grace period, rolling update, disruption budget.

Law: what is there already is kept; every byte that is not part of the set is kept; injecting twice changes nothing. A
workload that runs to its end is left alone, and so is one that cannot be edited safely, which is said. One drain
sidecar serves a whole pod: every serving container's hook asks it, so that none leaves while another still has traffic.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from lameduck.core.finding import Edit
from lameduck.defects.ld204_no_pdb import budget
from lameduck.defects.lintkit import delay_wanted, supports, window_edits
from lameduck.defects.rollouts import least_replicas, needs_one_writer
from lameduck.defects.snippets import DRAIN, Sidecar, drain_container, drain_hook
from lameduck.manifests.hooks import HookKind, hook_of
from lameduck.manifests.project import Project
from lameduck.manifests.splice import Refused, append, put
from lameduck.manifests.text import Text, apply_edits
from lameduck.manifests.workloads import Container, Workload

KINDS = ("Deployment", "StatefulSet", "DaemonSet", "Rollout")


@dataclass(slots=True)
class Injected:
    """What was done: a line for each workload, and what could not be done."""

    text: str
    done: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)


def inject(project: Project, text: Text, sidecar: Sidecar | None = None) -> Injected:
    """The text with the safe set put into each of its workloads."""
    result = Injected(text.content)
    edits: list[Edit] = []
    budgets: list[str] = []
    for workload in project.cluster.workloads:
        if workload.object.node.text is not text or workload.kind not in KINDS or workload.is_windows:
            continue
        try:
            mine = _edits(project, workload, sidecar)
        except Refused as reason:
            result.refused.append(f"{workload.object.title}: {reason}")
            continue
        edits += mine
        if mine:
            result.done.append(workload.object.title)
        if _wants_budget(project, workload):
            budgets.append(budget(workload))
            result.done.append(f"PodDisruptionBudget {workload.object.name}")
    content = apply_edits(text.content, edits)
    for one in budgets:
        if content and not content.endswith("\n"):
            content += text.eol
        content += f"---\n{one}".replace("\n", text.eol)
    result.text = content
    return result


def _edits(project: Project, workload: Workload, sidecar: Sidecar | None) -> list[Edit]:
    edits: list[Edit] = []
    bare = [one for one in _serving(workload) if hook_of(one).kind is HookKind.NONE]
    if sidecar is not None and bare:
        if not supports(project, 1, 29):
            raise Refused("a native sidecar needs Kubernetes 1.29; leave --sidecar out")
        edits += _sidecar(project, workload, bare, sidecar)
    else:
        for container in bare:
            edits += window_edits(project, workload, container)
    return _once([*edits, *_rolling(workload, project)])


def _serving(workload: Workload) -> list[Container]:
    """The containers that may serve: those with ports, else the first that is no helper."""
    plain = [one for one in workload.containers if not one.is_proxy]
    return [one for one in plain if one.ports] or plain[:1]


def _rolling(workload: Workload, project: Project) -> list[Edit]:
    if workload.kind != "Deployment" or needs_one_writer(project, workload):
        return []
    strategy = workload.spec["strategy"]
    if strategy["type"].string == "Recreate":
        return []
    rolling = strategy["rollingUpdate"]
    if not rolling.keys():
        return put(workload.spec, ("strategy", "rollingUpdate"), {"maxSurge": 1, "maxUnavailable": 0})
    edits: list[Edit] = []
    if rolling["maxUnavailable"].string not in {"0", "0%"}:
        edits += put(rolling, ("maxUnavailable",), 0)
    if rolling["maxSurge"].string in {"0", "0%"}:
        edits += put(rolling, ("maxSurge",), 1)
    return edits


def _sidecar(project: Project, workload: Workload, bare: list[Container], sidecar: Sidecar) -> list[Edit]:
    """The containers' hooks ask the sidecar, which answers when traffic is gone."""
    if any(one.name == DRAIN for one in workload.init):
        raise Refused(f"it has a container {DRAIN} already, which this hook would not know the token of")
    ports = sorted({number for one in bare for _, number in one.ports if number is not None})
    grace = max(workload.grace or 30, delay_wanted(project) + 40)
    drain = drain_container(sidecar, ports, grace)
    edits: list[Edit] = []
    for container in bare:
        edits += put(container.node, ("lifecycle", "preStop"), drain_hook(sidecar))
    starting = workload.pod["initContainers"]
    if starting.is_sequence and starting.raw.value:
        edits.append(append(starting, drain))
    else:
        edits += put(workload.pod, ("initContainers",), [drain])
    if workload.grace != grace:
        edits += put(workload.pod, ("terminationGracePeriodSeconds",), grace)
    return edits


def _wants_budget(project: Project, workload: Workload) -> bool:
    replicas = least_replicas(project, workload)
    selector = workload.spec["selector"]["matchLabels"].keys()
    known = workload.kind in {"Deployment", "StatefulSet"} and bool(selector)
    return known and replicas is not None and replicas >= 2 and not project.cluster.budgets_of(workload)


def _once(edits: list[Edit]) -> list[Edit]:
    """Several containers ask for the same grace period: the longest one stays."""
    best: dict[tuple[int, int, str], Edit] = {}
    for edit in edits:
        grace = edit.text.strip().removeprefix("terminationGracePeriodSeconds:").strip()
        kind = "grace" if grace.isdigit() else edit.text
        known = best.get((edit.start, edit.end, kind))
        if known is None or (kind == "grace" and int(grace) > int(known.text.rsplit(":", 1)[-1])):
            best[edit.start, edit.end, kind] = edit
    return list(best.values())
