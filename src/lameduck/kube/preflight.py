"""What is looked at before anything is touched: does the workload exist, is it well, may we do what is planned.

Law: everything here only reads. What makes a proof impossible is an error with what to do; what a reader must know to
understand the result is a note.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import yaml

from lameduck.core.errors import EnvironmentFault, UsageError
from lameduck.core.plan import Disruption
from lameduck.kube import workload as reading
from lameduck.kube.api import Api, ApiError, Json
from lameduck.kube.connect import Context
from lameduck.kube.reading import KINDS, written
from lameduck.kube.sight import is_ready
from lameduck.kube.workload import ANNOTATION, PodShape, Target

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
    "jobs": "batch",
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


def rights_for(target: Target, disruption: Disruption, *, agents: bool = False) -> tuple[Right, ...]:
    """The least that a proof needs, with load from agents inside the cluster or not."""
    needed = [Right(verb, resource) for resource in (*WATCHED, target.resource) for verb in ("get", "list", "watch")]
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
        case _:
            pass
    if agents:
        needed += [Right(verb, "jobs") for verb in ("create", "get", "delete")]
        needed += [Right(verb, "pods", "proxy") for verb in ("get", "create")]
    needed.append(Right("get", "pods", "log", optional=True))
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
    pods: tuple[Json, ...] = ()
    """The pods as they were found."""
    details: dict[str, Any] = field(default_factory=dict)


async def check(
    api: Api,
    target: Target,
    disruption: Disruption,
    times: int,
    *,
    service: str = "",
    port: str = "",
    agents: bool = False,
) -> Checked:
    """Look at everything. Raises `UsageError` and `EnvironmentFault`."""
    version = str((await api.call("GET", "/version")).get("gitVersion", "?"))
    rights = rights_for(target, disruption, agents=agents)
    allowed = await asyncio.gather(*(_allowed(api, target.namespace, right) for right in rights))
    missing = [right for right, may in zip(rights, allowed, strict=True) if not may]
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
    fits(workload, target, disruption)
    pods = await _healthy(api, target, selector, wanted)
    notes = [*_notes(workload, target, disruption, times), *_service_notes(found, shape)]
    notes += await _neighbours(api, target, labels, disruption)
    notes += [f"not allowed, so not done: {right}" for right in missing]
    return Checked(
        target, workload, found, its_port, shape, selector, wanted, version, tuple(notes), tuple(missing), pods,
        {
            "strategy": reading.strategy(workload, target.resource),
            "server_version": version,
            "service": found["metadata"]["name"],
            "service_port": its_port["port"],
            "readiness": shape.has_readiness,
            "container": shape.container,
            "manifest": manifest(workload, target),
        },
    )  # fmt: skip


def manifest(workload: Json, target: Target) -> str:
    """The workload as YAML that a fix can be made against. Environments' values are left out: they may be secrets."""
    kind, version = KINDS[target.resource]
    shown = written(copy.deepcopy(workload), kind, version)
    pod = shown["spec"]["template"]["spec"]
    for each in (*(pod.get("containers") or ()), *(pod.get("initContainers") or ())):
        each.pop("env", None)
    shown["metadata"].pop("annotations", None)
    return str(yaml.safe_dump(shown, sort_keys=False))


def fits(workload: Json, target: Target, disruption: Disruption) -> None:
    """Whether a workload can be disrupted like that at all. Raises `UsageError`."""
    spec, rolls = workload["spec"], disruption in {Disruption.ROLLOUT, Disruption.COMMAND, Disruption.NONE}
    if disruption in {Disruption.CRASH, Disruption.RELOAD}:
        raise UsageError(f"--disrupt {disruption.value} is for workloads on this machine (--local)")
    if target.resource == "daemonsets" and disruption in {Disruption.SCALE, Disruption.DRAIN}:
        other = "a DaemonSet has no replicas" if disruption is Disruption.SCALE else "drains leave DaemonSets alone"
        raise UsageError(f"{other}: --disrupt rollout or delete")
    if spec.get("paused") and rolls:
        raise UsageError(f"{target} is paused: kubectl rollout resume {target} -n {target.namespace}")
    if rolls and reading.strategy(workload, target.resource) == "OnDelete":
        raise UsageError(f"{target} has updateStrategy OnDelete: a rollout replaces no pod; --disrupt delete does")
    partition = ((spec.get("updateStrategy") or {}).get("rollingUpdate") or {}).get("partition") or 0
    if rolls and partition:
        raise UsageError(f"{target} has partition {partition}: a rollout would leave the pods below it as they are")


async def find(context: Context, kind: str, labels: str) -> Target:
    """The one workload with these labels, of a kind or of any. Raises `UsageError` where it is not one."""
    kinds = [reading.resource_of(kind)] if kind else ["deployments", "statefulsets", "daemonsets"]
    api = Api(context)
    try:
        found = [
            Target(each, one["metadata"]["name"], context.namespace)
            for each in kinds
            for one in (await api.get(each, context.namespace, labelSelector=labels)).get("items", [])
        ]
    finally:
        await api.close()
    if len(found) != 1:
        names = ", ".join(map(str, found)) or "none"
        raise UsageError(f"-l {labels} chooses {names} in namespace {context.namespace}: it must be one workload")
    return found[0]


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


async def _healthy(api: Api, target: Target, selector: str, wanted: int) -> tuple[Json, ...]:
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
    return tuple(pods)


def _notes(workload: Json, target: Target, disruption: Disruption, times: int) -> Iterable[str]:
    spec = workload["spec"]
    if disruption is not Disruption.ROLLOUT:
        if spec.get("paused"):
            yield f"{target} is paused: its pods are replaced, its rollouts are not"
        return
    kept = int(spec.get("revisionHistoryLimit", 10))
    if times >= kept / 2 and times:
        yield (
            f"{times} restarts are {times} revisions, and {target} keeps {kept}: its oldest rollback target may go. "
            "Restarts alternate between two templates, so one is added to those kept, not more"
        )
    marked = ANNOTATION in ((spec["template"].get("metadata") or {}).get("annotations") or {})
    if marked:
        yield f"an earlier run ended with the annotation {ANNOTATION} in the pod template: the first restart removes it"
    if bool(times % 2) is not marked:
        yield (
            f"this ends with the annotation {ANNOTATION} in the pod template; taking it away is another rollout. An "
            f"{'odd' if marked else 'even'} number of restarts ends without it"
        )


def _service_notes(service: Json, shape: PodShape) -> Iterable[str]:
    """What a Service does that a reader of the result must know."""
    spec, name = service["spec"], service["metadata"]["name"]
    if not shape.has_readiness:
        yield f"{shape.container or 'the container'} has no readiness probe: a pod is routed to once it has started"
    if spec.get("publishNotReadyAddresses"):
        yield f"Service {name} has publishNotReadyAddresses: pods are routed to whether ready or not"
    if spec.get("sessionAffinity") == "ClientIP":
        yield f"Service {name} has sessionAffinity ClientIP: each sender's connections all go to one pod"
    for policy in ("internalTrafficPolicy", "externalTrafficPolicy"):
        if spec.get(policy) == "Local":
            yield f"Service {name} has {policy} Local: only pods on the sender's own node are routed to"


async def _neighbours(api: Api, target: Target, labels: dict[str, str], disruption: Disruption) -> list[str]:
    """PDBs and HPAs that have a say."""
    notes = []
    try:
        for pdb in (await api.get("poddisruptionbudgets", target.namespace)).get("items", []):
            if reading.matches(pdb["spec"].get("selector"), labels):
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
