"""What is looked at before anything is touched: does the workload exist, is it well, may we do what is planned.

Law: everything here only reads. What makes a proof impossible is an error with what to do; what a reader must know to
understand the result is a note.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from lameduck.core.errors import EnvironmentFault, UsageError
from lameduck.core.plan import Disruption
from lameduck.kube import workload as reading
from lameduck.kube.api import Api, ApiError, Json
from lameduck.kube.sight import is_ready
from lameduck.kube.workload import PodShape, Target

WATCHED = ("pods", "services", "endpointslices", "events")
GROUPS = {
    "pods": "",
    "services": "",
    "events": "",
    "nodes": "",
    "endpointslices": "discovery.k8s.io",
    "deployments": "apps",
    "statefulsets": "apps",
    "daemonsets": "apps",
    "poddisruptionbudgets": "policy",
    "horizontalpodautoscalers": "autoscaling",
}


@dataclass(frozen=True, slots=True)
class Right:
    """One verb on one resource, as RBAC has it."""

    verb: str
    resource: str
    sub: str = ""
    cluster: bool = False
    optional: bool = False

    def __str__(self) -> str:
        return f"{self.verb} {self.resource}{'/' + self.sub if self.sub else ''}"


def rights_for(target: Target, disruption: Disruption) -> tuple[Right, ...]:
    """The least that a proof needs."""
    needed = [Right(verb, resource) for resource in WATCHED for verb in ("get", "list", "watch")]
    needed.append(Right("get", target.resource))
    match disruption:
        case Disruption.ROLLOUT:
            needed.append(Right("patch", target.resource))
        case Disruption.SCALE:
            needed.append(Right("patch", target.resource, "scale"))
        case Disruption.DELETE | Disruption.KILL:
            needed.append(Right("delete", "pods"))
        case Disruption.EVICT:
            needed.append(Right("create", "pods", "eviction"))
        case Disruption.DRAIN:
            needed += [Right("create", "pods", "eviction"), Right("get", "nodes", cluster=True)]
            needed += [Right("patch", "nodes", cluster=True)]
        case Disruption.NONE:
            pass
    needed += [Right("list", name, optional=True) for name in ("poddisruptionbudgets", "horizontalpodautoscalers")]
    return tuple(needed)


def role(target: Target, rights: Iterable[Right]) -> str:
    """The minimal Role (and ClusterRole) as YAML."""
    rules: dict[tuple[str, str, bool], list[str]] = {}
    for right in rights:
        resource = f"{right.resource}/{right.sub}" if right.sub else right.resource
        rules.setdefault((GROUPS[right.resource], resource, right.cluster), []).append(right.verb)
    documents = []
    for cluster in (False, True):
        lines = [
            f"  - apiGroups: [{group!r}]\n    resources: [{resource!r}]\n    verbs: [{', '.join(verbs)}]"
            for (group, resource, wide), verbs in rules.items()
            if wide is cluster
        ]
        if lines:
            kind = "ClusterRole" if cluster else "Role"
            where = "" if cluster else f"\n  namespace: {target.namespace}"
            head = f"apiVersion: rbac.authorization.k8s.io/v1\nkind: {kind}\nmetadata:\n  name: lameduck{where}\nrules:"
            documents.append("\n".join([head.replace("'", '"'), *(line.replace("'", '"') for line in lines)]))
    return "\n---\n".join(documents)


@dataclass(frozen=True, slots=True)
class Checked:
    """A workload that can be proven, as it was found."""

    target: Target
    workload: Json
    service: Json
    port: Json
    shape: PodShape
    selector: str
    replicas: int
    version: str
    notes: tuple[str, ...] = ()
    missing: tuple[Right, ...] = ()
    details: dict[str, Any] = field(default_factory=dict)


async def check(
    api: Api, target: Target, disruption: Disruption, times: int, *, service: str = "", port: str = ""
) -> Checked:
    """Look at everything. Raises `UsageError` and `EnvironmentFault`."""
    version = str((await api.call("GET", "/version")).get("gitVersion", "?"))
    rights = rights_for(target, disruption)
    missing = [right for right in rights if not await _allowed(api, target.namespace, right)]
    hard = [right for right in missing if not right.optional]
    if hard:
        raise EnvironmentFault(
            f"context {api.context.name} may not {', '.join(map(str, hard))} in namespace {target.namespace}. "
            f"This Role would do:\n{role(target, rights)}"
        )
    workload = await _workload(api, target)
    template = workload["spec"]["template"]
    labels = template.get("metadata", {}).get("labels") or {}
    services = (await api.get("services", target.namespace)).get("items", [])
    found, its_port = reading.choose_service(services, labels, service, port)
    shape = reading.pod_shape(template, its_port.get("targetPort") or its_port["port"])
    wanted = reading.replicas(workload, target.resource)
    selector = reading.selector_text(workload["spec"]["selector"])
    await _healthy(api, target, workload, selector, wanted)
    notes = [*_notes(workload, target, disruption, times), *await _neighbours(api, target, labels, disruption)]
    return Checked(
        target, workload, found, its_port, shape, selector, wanted, version, tuple(notes), tuple(missing),
        {
            "strategy": reading.strategy(workload, target.resource),
            "server_version": version,
            "service": found["metadata"]["name"],
            "service_port": its_port["port"],
            "readiness": shape.has_readiness,
            "container": shape.container,
        },
    )  # fmt: skip


async def _allowed(api: Api, namespace: str, right: Right) -> bool:
    wanted = {"verb": right.verb, "group": GROUPS[right.resource], "resource": right.resource}
    if right.sub:
        wanted["subresource"] = right.sub
    if not right.cluster:
        wanted["namespace"] = namespace
    body = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": wanted},
    }
    answer = await api.call("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", body)
    return bool(answer.get("status", {}).get("allowed"))


async def _workload(api: Api, target: Target) -> Json:
    try:
        return await api.get(target.resource, target.namespace, target.name)
    except ApiError as error:
        if error.status != 404:
            raise
    listed = (await api.get(target.resource, target.namespace)).get("items", [])
    names = ", ".join(each["metadata"]["name"] for each in listed) or "none"
    raise UsageError(f"no {target.kind} '{target.name}' in namespace {target.namespace}; there: {names}")


async def _healthy(api: Api, target: Target, workload: Json, selector: str, wanted: int) -> None:
    if workload["spec"].get("paused"):
        raise UsageError(f"{target} is paused: kubectl rollout resume {target} -n {target.namespace}")
    if not wanted:
        raise UsageError(f"{target} has no replicas: nothing serves")
    pods = (await api.get("pods", target.namespace, labelSelector=selector)).get("items", [])
    well = sum(map(is_ready, pods))
    going = [each["metadata"]["name"] for each in pods if each["metadata"].get("deletionTimestamp")]
    if well != wanted or going:
        leaving = f", {len(going)} terminating" if going else ""
        raise EnvironmentFault(
            f"{target} is not settled: {well} of {wanted} pods ready{leaving}. Wait for it: "
            f"kubectl rollout status {target} -n {target.namespace}"
        )


def _notes(workload: Json, target: Target, disruption: Disruption, times: int) -> Iterable[str]:
    spec = workload["spec"]
    if disruption is not Disruption.ROLLOUT or target.resource != "deployments":
        return
    kept = int(spec.get("revisionHistoryLimit", 10))
    if times >= kept / 2 and times > 1:
        yield (
            f"each restart is a revision, and {target} keeps {kept}: rollback targets would be pushed out. Restarts "
            "alternate between two templates, so two revisions are made, not more"
        )
    if times % 2:
        yield (
            "an odd number of restarts leaves the annotation lameduck.dev/restart in the pod template; taking it away "
            "is another rollout"
        )


async def _neighbours(api: Api, target: Target, labels: dict[str, str], disruption: Disruption) -> list[str]:
    """PDBs and HPAs that have a say."""
    notes = []
    try:
        for pdb in (await api.get("poddisruptionbudgets", target.namespace)).get("items", []):
            chosen = (pdb["spec"].get("selector") or {}).get("matchLabels") or {}
            if chosen and all(labels.get(key) == value for key, value in chosen.items()):
                allowed = pdb.get("status", {}).get("disruptionsAllowed", 0)
                name = pdb["metadata"]["name"]
                notes.append(f"PodDisruptionBudget {name} allows {allowed} evictions now; rollouts do not ask it")
                if not allowed and disruption in {Disruption.EVICT, Disruption.DRAIN}:
                    raise EnvironmentFault(f"PodDisruptionBudget {name} allows no eviction: nothing could be proven")
        for hpa in (await api.get("horizontalpodautoscalers", target.namespace)).get("items", []):
            its = hpa["spec"]["scaleTargetRef"]
            if its.get("name") == target.name and its.get("kind", "").lower() == target.kind:
                name = hpa["metadata"]["name"]
                notes.append(f"HorizontalPodAutoscaler {name} may change the replicas while we look")
                if disruption is Disruption.SCALE:
                    raise UsageError(
                        f"HorizontalPodAutoscaler {name} owns the replicas: --disrupt scale would fight it"
                    )
    except ApiError as error:
        notes.append(f"PodDisruptionBudgets and HorizontalPodAutoscalers were not looked at: {error.message}")
    return notes
