"""What a manifest says and nobody here follows, in words: one line for each object.

Law: a field is followed, without meaning for a rollout's requests (a name, an image's pull policy), or on the list.
"""

from __future__ import annotations

from collections.abc import Iterator

from lameduck.local.manifest.chosen import Chosen
from lameduck.manifests.project import Project
from lameduck.manifests.workloads import Container, ContainerKind, KubeObject
from lameduck.manifests.yamlnode import Node

WORKLOAD = frozenset(
    {
        "replicas",
        "selector",
        "template",
        "strategy",
        "updateStrategy",
        "minReadySeconds",
        "progressDeadlineSeconds",
        "paused",
        "serviceName",
        "podManagementPolicy",
        "revisionHistoryLimit",
        "volumeClaimTemplates",
    }
)
POD = frozenset(
    {
        "containers",
        "initContainers",
        "volumes",
        "terminationGracePeriodSeconds",
        "shareProcessNamespace",
        "restartPolicy",
        "imagePullSecrets",
        "os",
    }
)
CONTAINER = frozenset(
    {
        "name",
        "image",
        "imagePullPolicy",
        "command",
        "args",
        "env",
        "envFrom",
        "workingDir",
        "ports",
        "readinessProbe",
        "livenessProbe",
        "startupProbe",
        "lifecycle",
        "volumeMounts",
        "restartPolicy",
        "terminationMessagePath",
        "terminationMessagePolicy",
    }
)
PROBE = frozenset(
    {
        "httpGet",
        "tcpSocket",
        "exec",
        "grpc",
        "periodSeconds",
        "timeoutSeconds",
        "initialDelaySeconds",
        "successThreshold",
        "failureThreshold",
    }
)
LIFECYCLE = frozenset({"preStop", "postStart", "stopSignal"})
SERVICE = frozenset({"selector", "ports", "clusterIP", "clusterIPs", "type", "publishNotReadyAddresses"})
BUDGET = frozenset({"selector", "minAvailable", "maxUnavailable"})
USED = frozenset({"Service", "ConfigMap", "Secret", "PodDisruptionBudget", "Namespace", "ServiceAccount"})
"""Kinds that are read, or mean nothing here."""


def listed(project: Project, chosen: Chosen, without: tuple[str, ...]) -> Iterator[str]:
    """Each object that has something nobody follows, and those that are not run at all."""
    workload = chosen.workload
    fields = [*_beyond(workload.spec, WORKLOAD), *_beyond(workload.pod, POD)]
    for one in (*workload.init, *workload.containers):
        if one.name not in without:
            fields += (f"{one.name}.{each}" for each in _of_container(one))
    yield from _line(workload.object, fields)
    if chosen.service is not None:
        yield from _line(chosen.service.object, _beyond(chosen.service.object.node["spec"], SERVICE))
    for budget in project.cluster.budgets_of(workload):
        yield from _line(budget, _beyond(budget.node["spec"], BUDGET))
    for name in without:
        yield f"left out: container {name}"
    mine = {id(workload.object.node.raw)}
    rest = [one for one in project.cluster.objects if one.kind not in USED and id(one.node.raw) not in mine]
    if rest:
        yield f"not run: {', '.join(dict.fromkeys(one.title for one in rest))}"


def _line(thing: KubeObject, fields: list[str]) -> Iterator[str]:
    if fields:
        yield f"ignored of {thing.title}: {', '.join(dict.fromkeys(fields))}"


def _beyond(node: Node, known: frozenset[str]) -> list[str]:
    return [key for key in node.keys() if key not in known]  # noqa: SIM118 - a Node is no dict


def _of_container(one: Container) -> Iterator[str]:
    yield from _beyond(one.node, CONTAINER)
    for kind in ("readinessProbe", "livenessProbe", "startupProbe"):
        yield from (f"{kind}.{each}" for each in _beyond(one.node[kind], PROBE))
    yield from (f"lifecycle.{each}" for each in _beyond(one.lifecycle, LIFECYCLE))
    if one.kind == ContainerKind.MAIN and one.node["restartPolicy"]:
        yield "restartPolicy"
