"""Which workload of the input is proven, behind which Service, and which container serves.

Law: nothing is guessed. Where several would do the error names them and says how to choose; what cannot be read, is a
template, or says one thing twice is not proven at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from lameduck.core.errors import UsageError
from lameduck.manifests.project import Project
from lameduck.manifests.workloads import Container, ContainerKind, Service, Workload
from lameduck.manifests.yamlnode import Node, duplicates

KINDS = ("Deployment", "StatefulSet", "DaemonSet")
_SHORT = {"deploy": "Deployment", "sts": "StatefulSet", "ds": "DaemonSet"}


@dataclass(frozen=True, slots=True)
class Wish:
    """What the user said beside the manifests; "" and None where nothing."""

    target: str = ""
    """TYPE/NAME of the workload."""
    service: str = ""
    service_port: str = ""
    port: int | None = None
    command: tuple[str, ...] = ()
    """Instead of the serving container's own."""
    dockerfiles: Mapping[str, str] = field(default_factory=dict)
    """By container; "" is the serving one."""
    without: tuple[str, ...] = ()
    """Containers that are left out."""
    volumes: Mapping[str, str] = field(default_factory=dict)
    """A folder (or ``empty``) for a volume that cannot be had otherwise."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """The workload, the Service in front of it, and where that leads."""

    workload: Workload
    service: Service | None
    target: int | None
    """The port's number in the pod; None where nobody says it."""
    serving: Container


def place(node: Node) -> str:
    """``web.yaml:12``; the file alone for what is not there."""
    if not node:
        return node.text.path
    span = node.span
    return f"{span.file}:{span.line}"


def titled(workload: Workload) -> str:
    """``deployment/web``."""
    return f"{workload.kind.lower()}/{workload.object.name}"


def readable(project: Project) -> None:
    """Raises `UsageError` for what cannot be read as it stands."""
    for path in project.templates:
        raise UsageError(
            f"{path} is a template, not yet a manifest: render it, as in helm template . | lameduck prove --local -f -"
        )
    for fault in project.faults:
        line = fault.text.span(fault.offset, fault.offset + 1).line
        raise UsageError(f"{fault.text.path}:{line}: cannot be read: {fault.problem}")
    for path in project.kustomizations:
        folder = path.rpartition("/")[0] or "."
        raise UsageError(
            f"{path} is a kustomization: build it, as in kustomize build {folder} | lameduck prove --local -f -"
        )
    for thing in project.cluster.objects:
        for name, first, again in duplicates(thing.node):
            raise UsageError(
                f"{place(again)}: {name!r} is there already, in {place(first)}: one of them counts, say which"
            )


def choose(project: Project, wish: Wish) -> Chosen:
    """What is proven. Raises `UsageError` with what to say where the input leaves it open."""
    workload = _workload(project, wish)
    service = _service(project, workload, wish)
    if service is None:
        return Chosen(workload, None, wish.port, _declaring(workload, wish.port))
    port = _port(service, wish)
    target, serving = _target(workload, service, port)
    return Chosen(workload, service, wish.port or target, serving)


def _workload(project: Project, wish: Wish) -> Workload:
    found = [one for one in project.cluster.workloads if one.kind in KINDS]
    if wish.target:
        kind, _, name = wish.target.partition("/")
        kind = _SHORT.get(kind.lower(), kind)
        named = [one for one in found if one.kind.lower() == kind.lower().removesuffix("s") and one.object.name == name]
        named = named or [one for one in found if one.kind.lower() == kind.lower() and one.object.name == name]
        if not named:
            raise UsageError(f"there is no {wish.target} in the input; it has {_listed(found)}")
        return named[0]
    if not found:
        raise UsageError(f"there is no Deployment, StatefulSet or DaemonSet in the input: {_instead(project)}")
    served = [one for one in found if project.cluster.services_of(one)]
    left = served or found
    if len(left) > 1:
        raise UsageError(
            f"which one? The input has {_listed(left)}: name one, as in prove --local -f … {titled(left[0])}"
        )
    return left[0]


def _instead(project: Project) -> str:
    """What there is: kinds, or nothing at all."""
    kinds = dict.fromkeys(thing.kind for thing in project.cluster.objects)
    if kinds:
        return f"it has {', '.join(kinds)}"
    return "it is empty, or no Kubernetes manifest; did the command that writes it fail?"


def _listed(found: list[Workload]) -> str:
    return ", ".join(titled(one) for one in found) or "none"


def _service(project: Project, workload: Workload, wish: Wish) -> Service | None:
    selecting = project.cluster.services_of(workload)
    if wish.service:
        named = [one for one in project.cluster.services if one.name == wish.service]
        if not named:
            have = ", ".join(one.name for one in project.cluster.services) or "none"
            raise UsageError(f"there is no Service {wish.service} in the input; it has {have}")
        if named[0] not in selecting:
            raise UsageError(_selects_nothing(named[0], workload))
        return named[0]
    left = [one for one in selecting if not one.is_for_metrics]
    left = [one for one in left if not one.headless] or left
    if len(left) > 1:
        names = ", ".join(one.name for one in left)
        raise UsageError(f"several Services select {titled(workload)}: {names}; say which with --service")
    if left:
        return left[0]
    if project.cluster.services:
        raise UsageError(_selects_nothing(project.cluster.services[0], workload))
    if wish.port is None:
        raise UsageError(
            f"no Service in the input selects {titled(workload)}: add it, or say the pods' port with --port"
        )
    return None


def _selects_nothing(service: Service, workload: Workload) -> str:
    asked = ", ".join(f"{key}={value}" for key, value in service.selector.items()) or "nothing"
    have = ", ".join(f"{key}={value}" for key, value in workload.labels.items()) or "no labels"
    where = place(service.object.node.at("spec", "selector") or service.object.node)
    return f"{where}: Service {service.name} selects {asked}, and the pods of {titled(workload)} have {have}"


def _port(service: Service, wish: Wish) -> Node:
    ports = service.ports
    if wish.service_port:
        for one in ports:
            if wish.service_port in {one["name"].string, one["port"].string}:
                return one
        raise UsageError(f"Service {service.name} has no port {wish.service_port}; it has {_ports(ports)}")
    if not ports:
        raise UsageError(f"{place(service.object.node)}: Service {service.name} has no ports")
    plain = [
        one for one in ports if (one["protocol"].string or "TCP") == "TCP" and not service.port_is_for_metrics(one)
    ]
    if len(plain) != 1:
        raise UsageError(
            f"Service {service.name} has several ports ({_ports(ports)}): say which with --service {service.name}:PORT"
        )
    return plain[0]


def _ports(ports: list[Node]) -> str:
    return ", ".join("/".join(filter(None, (one["name"].string, one["port"].string))) for one in ports)


def _target(workload: Workload, service: Service, port: Node) -> tuple[int, Container]:
    """The port's number in the pod, and the container that has it."""
    wanted = port["targetPort"] or port["port"]
    servers = [*workload.containers, *(one for one in workload.init if one.kind == ContainerKind.SIDECAR)]
    number = int(wanted.string) if wanted.string and wanted.string.isdigit() else None
    for one in servers:
        for name, declared in one.ports:
            if declared is not None and (declared == number or (number is None and name == wanted.string)):
                return declared, one
    if not wanted.string:
        raise UsageError(f"{place(port)}: Service {service.name} has a port without a number")
    if number is None:
        names = ", ".join(name for one in servers for name, _ in one.ports if name) or "none"
        raise UsageError(
            f"{place(wanted)}: Service {service.name} targets the port {wanted.string}, and no container of "
            f"{titled(workload)} has a port of that name (there are: {names})"
        )
    return number, _declaring(workload, number)


def _declaring(workload: Workload, port: int | None) -> Container:
    """The container of a port that none of them has to declare."""
    for one in workload.containers:
        if any(declared == port for _, declared in one.ports):
            return one
    plain = [one for one in workload.containers if not one.is_proxy] or list(workload.containers)
    if not plain:
        raise UsageError(f"{place(workload.pod)}: {titled(workload)} has no containers")
    if len(plain) > 1:
        names = ", ".join(one.name for one in plain)
        raise UsageError(f"which container of {titled(workload)} serves port {port}? Declare it in one of {names}")
    return plain[0]
