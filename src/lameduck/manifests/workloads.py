"""Kubernetes objects as the rules ask for them: workloads with their containers, Services, budgets, autoscalers.

Law: objects are read as the API server reads them; a field of the wrong type counts as absent, and an absent field as
its default only where the code that applies the default is named. Custom kinds that carry a pod template are read for
what the template says and never judged by a Deployment's rollout.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from lameduck.manifests import images
from lameduck.manifests.programs import words
from lameduck.manifests.yamlnode import Node

_TEMPLATES = {
    "Deployment": ("spec", "template"),
    "StatefulSet": ("spec", "template"),
    "DaemonSet": ("spec", "template"),
    "ReplicaSet": ("spec", "template"),
    "ReplicationController": ("spec", "template"),
    "Job": ("spec", "template"),
    "CronJob": ("spec", "jobTemplate", "spec", "template"),
    "Pod": (),
    "Rollout": ("spec", "template"),
    "DeploymentConfig": ("spec", "template"),
}
_GROUPS = {
    "Deployment": ("apps", "extensions"),
    "StatefulSet": ("apps",),
    "DaemonSet": ("apps", "extensions"),
    "ReplicaSet": ("apps", "extensions"),
    "ReplicationController": ("",),
    "Job": ("batch",),
    "CronJob": ("batch",),
    "Pod": ("",),
    "Rollout": ("argoproj.io",),
    "DeploymentConfig": ("apps.openshift.io", ""),
}
_AGENTS = words(
    "otel-collector opentelemetry-collector opentelemetry-collector-contrib aws-otel-collector fluent-bit fluentd "
    "filebeat vector promtail alloy telegraf agent node-exporter config-reloader configmap-reload k8s-sidecar git-sync"
)
"""Helpers that serve nobody but their own upkeep: shippers, collectors, reloaders; exporters go by their names' end."""
_PROXIES = words(
    "cloud-sql-proxy cloudsql-proxy gce-proxy alloydb-auth-proxy pgbouncer oauth2-proxy envoy linkerd-proxy proxyv2 "
    "istio-proxy consul-dataplane kuma-dp vault vault-agent kube-rbac-proxy cloudflared tailscale"
)
_METRICS = re.compile(r"(https?-)?(metrics|prometheus|prom|monitoring|telemetry|exporter)(-.*)?\Z")


@dataclass(frozen=True, slots=True)
class KubeObject:
    """One object of a manifest."""

    node: Node
    kind: str
    group: str
    name: str
    namespace: str

    @property
    def title(self) -> str:
        """``Deployment web``, as messages name it."""
        return f"{self.kind} {self.name}" if self.name else self.kind


class ContainerKind:
    """What a container of a pod is."""

    MAIN = "main"
    INIT = "init"
    SIDECAR = "sidecar"
    """An init container with restartPolicy Always."""


@dataclass(frozen=True, slots=True)
class Container:
    """One container of a pod template."""

    node: Node
    name: str
    image: str | None
    kind: str
    command: tuple[str, ...] | None
    args: tuple[str, ...] | None

    @property
    def lifecycle(self) -> Node:
        """Its lifecycle block."""
        return self.node["lifecycle"]

    @property
    def pre_stop(self) -> Node:
        """Its preStop hook."""
        return self.node["lifecycle"]["preStop"]

    @property
    def ports(self) -> list[tuple[str, int | None]]:
        """The names and numbers of its declared ports."""
        return [(port["name"].string or "", port["containerPort"].integer) for port in self.node["ports"].items()]

    @property
    def is_agent(self) -> bool:
        """Whether its image is a known exporter, collector or log shipper: nobody's requests are lost with it."""
        name = images.reference(self.image or "").name
        return name in _AGENTS or name.endswith(("-exporter", "_exporter"))

    @property
    def is_proxy(self) -> bool:
        """Whether its image is a known helper of another container: a proxy, or an agent."""
        name = images.reference(self.image or "").name
        return self.is_agent or name in _PROXIES or name.endswith("-proxy")


@dataclass(frozen=True, slots=True)
class Workload:
    """An object with a pod template."""

    object: KubeObject
    template: Node
    """The pod template; the object itself for a Pod."""
    containers: tuple[Container, ...]
    """The ordinary containers."""
    init: tuple[Container, ...]
    """The init containers, native sidecars among them."""
    labels: dict[str, str]
    """The pods' labels."""

    @property
    def kind(self) -> str:
        """Deployment, StatefulSet …"""
        return self.object.kind

    @property
    def spec(self) -> Node:
        """The workload's own spec."""
        return self.object.node["spec"]

    @property
    def pod(self) -> Node:
        """The pod's spec."""
        return self.template["spec"]

    @property
    def grace(self) -> int | None:
        """The grace period in seconds: 30 when absent (Kubernetes default); None when it is no number."""
        node = self.pod["terminationGracePeriodSeconds"]
        return node.integer if node and not node.is_null else 30

    @property
    def replicas(self) -> int | None:
        """The replicas as written; None when absent or no number."""
        return self.spec["replicas"].integer

    @property
    def is_batch(self) -> bool:
        """Whether its pods run to their end and serve nobody: jobs, and Helm's tests with the labels of the app."""
        once = self.kind == "Pod" and self.pod["restartPolicy"].string in {"Never", "OnFailure"}
        hooks = self.object.node.at("metadata", "annotations")["helm.sh/hook"].string or ""
        return self.kind in {"Job", "CronJob"} or once or "test" in hooks

    @property
    def is_partial(self) -> bool:
        """Whether it looks like a patch: without what the API requires, so that absence proves nothing."""
        if not self.object.name:
            return True
        needs_selector = self.kind in {"Deployment", "StatefulSet", "DaemonSet", "ReplicaSet"}
        if needs_selector and self.object.group != "extensions" and not self.spec["selector"]:
            return True
        return not self.containers or any(container.image is None for container in self.containers)

    @property
    def is_windows(self) -> bool:
        """Whether its pods run on Windows nodes, where nothing of the shells and signals holds."""
        selector = string_map(self.pod["nodeSelector"])
        system = selector.get("kubernetes.io/os") or self.pod.at("os", "name").string or ""
        return system.lower() == "windows"


@dataclass(frozen=True, slots=True)
class Service:
    """A Service of the core API."""

    object: KubeObject
    selector: dict[str, str]
    headless: bool

    @property
    def name(self) -> str:
        """Its name."""
        return self.object.name

    @property
    def is_for_metrics(self) -> bool:
        """Whether all its ports are named for metrics: a scrape is no client's request."""
        names = [port["name"].string or "" for port in self.ports]
        return bool(names) and all(_METRICS.match(name) for name in names)

    @staticmethod
    def port_is_for_metrics(port: Node) -> bool:
        """Whether one of its ports is named for metrics."""
        return bool(_METRICS.match(port["name"].string or ""))

    @property
    def ports(self) -> list[Node]:
        """Its ports."""
        return list(self.object.node.at("spec", "ports").items())

    def selects(self, workload: Workload) -> bool:
        """Whether it selects the pods of a workload."""
        if not self.selector or not same_namespace(self.object, workload.object):
            return False
        labels = workload.labels
        return all(labels.get(key) == value for key, value in self.selector.items())


def same_namespace(one: KubeObject, other: KubeObject) -> bool:
    """Whether two objects can be in one namespace; an unwritten one is given when they are applied."""
    return not one.namespace or not other.namespace or one.namespace == other.namespace


def string_map(node: Node) -> dict[str, str]:
    """A mapping of strings, such as labels."""
    return {key: value.string or "" for key, value in node.entries()}


def matches(selector: Node, labels: dict[str, str]) -> bool:
    """Whether a label selector (matchLabels and matchExpressions) selects labels; an empty one selects all."""
    for key, value in string_map(selector["matchLabels"]).items():
        if labels.get(key) != value:
            return False
    for expression in selector["matchExpressions"].items():
        key, values = expression["key"].string or "", expression["values"].strings or ()
        match expression["operator"].string:
            case "In" if labels.get(key) not in values:
                return False
            case "NotIn" if labels.get(key) in values:
                return False
            case "Exists" if key not in labels:
                return False
            case "DoesNotExist" if key in labels:
                return False
            case _:
                pass
    return True


def objects_of(document: Node) -> Iterator[KubeObject]:
    """The objects of one document; Lists are walked."""
    kind, version = document["kind"].string, document["apiVersion"].string
    if kind is None or version is None:
        return
    if kind.endswith("List") and document["items"].is_sequence:
        for item in document["items"].items():
            yield from objects_of(item)
        return
    group = version.rpartition("/")[0]
    meta = document["metadata"]
    yield KubeObject(document, kind, group, meta["name"].string or "", meta["namespace"].string or "")


def workload_of(thing: KubeObject) -> Workload | None:
    """The object as a workload; None when it has no pod template that we know."""
    if thing.kind not in _TEMPLATES or thing.group not in _GROUPS[thing.kind]:
        return None
    template = thing.node.at(*_TEMPLATES[thing.kind])
    spec = template["spec"]
    if not spec:
        return None
    init = tuple(_container(node, init=True) for node in spec["initContainers"].items() if node.is_mapping)
    main = tuple(_container(node, init=False) for node in spec["containers"].items() if node.is_mapping)
    return Workload(thing, template, main, init, string_map(template.at("metadata", "labels")))


def _container(node: Node, init: bool) -> Container:
    always = node["restartPolicy"].string == "Always"
    kind = (ContainerKind.SIDECAR if always else ContainerKind.INIT) if init else ContainerKind.MAIN
    return Container(
        node, node["name"].string or "", node["image"].string, kind, node["command"].strings, node["args"].strings
    )


def service_of(thing: KubeObject) -> Service | None:
    """The object as a core Service; None for anything else, and for one without a selector."""
    if thing.kind != "Service" or thing.group != "":
        return None
    spec = thing.node["spec"]
    if spec["type"].string == "ExternalName":
        return None
    return Service(thing, string_map(spec["selector"]), spec["clusterIP"].string == "None")


@dataclass(slots=True)
class Cluster:
    """All objects of the input, by what they are."""

    objects: list[KubeObject] = field(default_factory=list)
    workloads: list[Workload] = field(default_factory=list)
    services: list[Service] = field(default_factory=list)
    budgets: list[KubeObject] = field(default_factory=list)
    autoscalers: list[KubeObject] = field(default_factory=list)
    claims: list[KubeObject] = field(default_factory=list)
    ingresses: list[KubeObject] = field(default_factory=list)
    configs: list[KubeObject] = field(default_factory=list)
    _by_label: dict[tuple[str, str], list[Service]] | None = None
    """Services by their selector's first pair, so that thousands of objects are joined in linear time."""

    def add(self, thing: KubeObject) -> None:
        """Sort one object in."""
        self.objects.append(thing)
        if (workload := workload_of(thing)) is not None:
            self.workloads.append(workload)
        elif (service := service_of(thing)) is not None:
            self.services.append(service)
        elif thing.kind == "PodDisruptionBudget":
            self.budgets.append(thing)
        elif thing.kind in {"HorizontalPodAutoscaler", "ScaledObject"}:
            self.autoscalers.append(thing)
        elif thing.kind == "PersistentVolumeClaim":
            self.claims.append(thing)
        elif thing.kind == "Ingress":
            self.ingresses.append(thing)
        elif thing.kind == "ConfigMap":
            self.configs.append(thing)

    def services_of(self, workload: Workload) -> list[Service]:
        """The Services that select a workload's pods, in the input's order."""
        if self._by_label is None:
            self._by_label = {}
            for service in self.services:
                if service.selector:
                    self._by_label.setdefault(next(iter(service.selector.items())), []).append(service)
        return [
            one for pair in workload.labels.items() for one in self._by_label.get(pair, ()) if one.selects(workload)
        ]

    def autoscaler_of(self, workload: Workload) -> KubeObject | None:
        """The autoscaler that owns a workload's replicas."""
        for one in self.autoscalers:
            target = one.node.at("spec", "scaleTargetRef")
            kind = target["kind"].string or "Deployment"
            if same_namespace(one, workload.object) and (kind, target["name"].string) == (
                workload.kind,
                workload.object.name,
            ):
                return one
        return None

    def budgets_of(self, workload: Workload) -> list[KubeObject]:
        """The disruption budgets that select a workload's pods."""
        labels = workload.labels
        return [
            one
            for one in self.budgets
            if same_namespace(one, workload.object) and matches(one.node.at("spec", "selector"), labels)
        ]
