"""The whole input joined: files, objects, Dockerfiles, and how every container starts.

Law: what only together decides is joined here once, for every rule. A Dockerfile belongs to a container when its name
says so, or when it is the only one near a manifest with only one image of its own. Templates and patches are
recognised and never taken for whole objects.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property

from lameduck.manifests import images
from lameduck.manifests.chain import Chain, Link
from lameduck.manifests.dockerfile import Dockerfile, is_dockerfile
from lameduck.manifests.imagefiles import Found, Read
from lameduck.manifests.images import ImageFacts
from lameduck.manifests.kustomize import ANYTHING, NAMES, fields_of, kustomization
from lameduck.manifests.launch import Launch, of_container, of_image
from lameduck.manifests.programs import Does
from lameduck.manifests.text import Text
from lameduck.manifests.workloads import Cluster, Container, ContainerKind, Service, Workload, objects_of
from lameduck.manifests.yamlnode import Node, Unreadable, documents

_GO_TEMPLATE = re.compile(
    r"\{\{-?\s*(/\*|if\b|else\b|end\b|with\b|range\b|include\b|template\b|define\b|block\b|toYaml\b|tpl\b|"
    r"\.(Values|Release|Chart|Capabilities|Files|Template)\b|\$\.|printf\b|default\b|\$\w+\s*:?=)"
)
_JINJA = re.compile(r"\{%-?\s*\w+")


@dataclass(frozen=True, slots=True)
class Settings:
    """What the user said about the place the manifests run in."""

    kubernetes: tuple[int, int] | None = None
    """The version, such as (1, 31); None when unknown, which means a recent one."""
    path: str = "in-cluster"
    """The way traffic comes: a name of `PATHS`."""
    pre_stop_seconds: int | None = None
    """The delay to ask for; the path's own when None."""
    max_request_seconds: float | None = None
    images: tuple[tuple[str, ImageFacts], ...] = ()
    """What the user says about images, by patterns of their references."""
    stop_signal_gate: bool = False
    """Whether the cluster is known to have ContainerStopSignals on."""


@dataclass(frozen=True, slots=True)
class PathProfile:
    """A way that traffic comes: the delay it needs, and the idle time-out of the caller."""

    delay: int
    idle: float | None = None


PATHS: dict[str, PathProfile] = {
    "in-cluster": PathProfile(5),
    "headless": PathProfile(10),
    "ingress-nginx": PathProfile(5, 60),
    "istio": PathProfile(5),
    "linkerd": PathProfile(5),
    "aws-alb": PathProfile(25, 60),
    "aws-nlb": PathProfile(60, 350),
    "gke-neg": PathProfile(30, 600),
}
"""Delay: endpoint propagation behind kube-proxy; deregistration time behind load balancers (issues 1064, 2106 and 2366
of aws-load-balancer-controller). Idle: what each caller keeps a connection for."""


@dataclass(frozen=True, slots=True)
class Program:
    """One thing that starts: a container, an image by itself, or a script by itself, with its chain."""

    chain: Chain
    container: Container | None = None
    workload: Workload | None = None

    @property
    def launch(self) -> Launch:
        """How it starts."""
        return self.chain.launch


@dataclass(frozen=True, slots=True)
class Fault:
    """A file or document that cannot be read."""

    text: Text
    offset: int
    problem: str


class Project:
    """All that one run of lint looks at. Built once; rules only read it."""

    def __init__(self, texts: Iterable[Text], read: Read, settings: Settings | None = None) -> None:
        self.settings = settings or Settings()
        self.facts = images.told(self.settings.images)
        self.read = read
        self.texts: dict[str, Text] = {}
        self.cluster = Cluster()
        self.dockerfiles: list[Dockerfile] = []
        self.scripts: list[Text] = []
        self.faults: list[Fault] = []
        self.templates: list[str] = []
        """Files that are templates, not YAML."""
        self.patched: dict[tuple[str, str], set[str]] = {}
        """The fields that patches of the input speak of, by kind and name."""
        self.kustomizations: list[str] = []
        self.generated: dict[str, dict[str, Found]] = {}
        """Files of ConfigMaps that a kustomization generates, by the map's name and the file's."""
        self._services: dict[int, list[Service]] = {}
        self._serving: dict[int, tuple[Container, ...]] = {}
        for text in texts:
            self._add(text)
        self._find_patches()

    def _add(self, text: Text) -> None:
        self.texts[text.path] = text
        name = text.path.rsplit("/", 1)[-1]
        if is_dockerfile(text.path):
            dockerfile = Dockerfile(text)
            if _JINJA.search(text.content) or _GO_TEMPLATE.search(text.content):
                self.templates.append(text.path)
            elif not dockerfile.stages:
                self.faults.append(Fault(text, 0, "no FROM instruction in it"))
            else:
                self.dockerfiles.append(dockerfile)
            return
        if name.endswith((".yaml", ".yml", ".json")) or text.path == "-":
            self._add_yaml(text)
        elif text.content.startswith("#!") or name.endswith((".sh", ".bash")):
            self.scripts.append(text)

    def _add_yaml(self, text: Text) -> None:
        name = text.path.rsplit("/", 1)[-1]
        if "{{" in text.content and self._is_template(text):
            self.templates.append(text.path)
            return
        if "{%" in text.content and _JINJA.search(text.content):
            self.templates.append(text.path)
            return
        found = documents(text)
        for document in found:
            if isinstance(document, Unreadable):
                self.faults.append(Fault(text, min(document.offset, max(len(text.content) - 1, 0)), document.problem))
                continue
            if name in NAMES:
                found_there = kustomization(text, document, self.read)
                self.kustomizations.append(text.path)
                for patched, fields in found_there.patched.items():
                    self.patched.setdefault(patched, set()).update(fields)
                self.generated.update(found_there.generated)
                continue
            for thing in objects_of(document):
                self.cluster.add(thing)

    def _is_template(self, text: Text) -> bool:
        """Whether Go template actions shape the YAML itself, rather than stand inside of a string of data."""
        if not _GO_TEMPLATE.search(text.content):
            return False
        found = documents(text)
        if any(isinstance(one, Unreadable) for one in found):
            return True
        return any(_holds_action(one.raw, 0) for one in found if isinstance(one, Node))

    def _find_patches(self) -> None:
        for workload in self.cluster.workloads:
            if workload.is_partial:
                key = (workload.kind, workload.object.name)
                self.patched.setdefault(key, set()).update(fields_of(workload.object.node))

    def is_patched(self, workload: Workload, name: str) -> bool:
        """Whether a patch in the input speaks of a field, so that its absence in the workload's text proves nothing."""
        keys = ((workload.kind, workload.object.name), (workload.kind, ""))
        return any({name, ANYTHING} & self.patched.get(key, set()) for key in keys)

    @cached_property
    def workloads(self) -> list[Workload]:
        """The whole workloads that can be judged: no patches, no Windows pods."""
        return [one for one in self.cluster.workloads if not one.is_partial and not one.is_windows]

    def services(self, workload: Workload) -> list[Service]:
        """The Services that select a workload's pods."""
        key = id(workload)
        if key not in self._services:
            found = [] if workload.is_batch else self.cluster.services_of(workload)
            self._services[key] = [one for one in found if not one.is_for_metrics]
        return self._services[key]

    def serving(self, workload: Workload) -> tuple[Container, ...]:
        """The containers of a workload that its Services send traffic to; () when no Service selects it."""
        key = id(workload)
        if key not in self._serving:
            self._serving[key] = self._find_serving(workload)
        return self._serving[key]

    def _find_serving(self, workload: Workload) -> tuple[Container, ...]:
        services = self.services(workload)
        if not services:
            return ()
        targets: set[str | int] = set()
        for service in services:
            for port in service.ports:
                target = port["targetPort"]
                found = target.integer if target.integer is not None else target.string
                if not target:
                    found = port["port"].integer
                if found is not None:
                    targets.add(int(found) if isinstance(found, str) and found.isdigit() else found)
        hit = tuple(one for one in _servers(workload) if any({name, port} & targets for name, port in one.ports))
        if hit:
            return hit
        plain = tuple(one for one in workload.containers if not one.is_proxy) or workload.containers
        return plain[:1]

    def has_ports(self, workload: Workload) -> tuple[Container, ...]:
        """The containers with ports of a workload that no Service in the input selects."""
        if workload.is_batch:
            return ()
        return tuple(one for one in workload.containers if one.ports and not one.is_proxy)

    @cached_property
    def programs(self) -> list[Program]:
        """Everything that starts: containers with what is known of their image, and what no container claims."""
        found: list[Program] = []
        claimed: set[int] = set()
        for workload in self.workloads:
            for container in (*workload.containers, *workload.init):
                if container.kind == ContainerKind.INIT:
                    continue
                dockerfile = self.dockerfile_of(container, workload)
                if dockerfile is not None:
                    claimed.add(id(dockerfile))
                launch = of_container(container, workload, dockerfile, self.facts)
                if launch is not None:
                    launch = self._with_mounts(launch, container, workload)
                    found.append(Program(_chain_of(launch, self.read), container, workload))
        images_alone = (of_image(one, self.facts) for one in self.dockerfiles if id(one) not in claimed)
        found += [Program(_chain_of(launch, self.read)) for launch in images_alone if launch is not None]
        seen = {text.path for program in found for text in program.chain.texts}
        found += [Program(_chain_of_script(text, self.read)) for text in self.scripts if text.path not in seen]
        return found

    def _with_mounts(self, launch: Launch, container: Container, workload: Workload) -> Launch:
        if not (self.cluster.configs or self.generated) or not container.node["volumeMounts"]:
            return launch
        from lameduck.manifests.mounts import mounted  # noqa: PLC0415  most pods mount no file of the input

        return replace(launch, mounts=mounted(container, workload, self.cluster.configs, self.generated))

    def program_of(self, container: Container) -> Program | None:
        """The program of a container."""
        return self._by_container.get(id(container.node.raw))

    @cached_property
    def _by_container(self) -> dict[int, Program]:
        return {id(one.container.node.raw): one for one in self.programs if one.container is not None}

    def dockerfile_of(self, container: Container, workload: Workload) -> Dockerfile | None:
        """The Dockerfile that makes a container's image; None when that cannot be told."""
        if not self.dockerfiles or container.image is None:
            return None
        ref = images.reference(container.image)
        named = [one for one in self.dockerfiles if ref.name.lower() in _names(one.text.path)]
        if len(named) == 1:
            return named[0]
        if self.facts(container.image).known or container.is_proxy:
            return None
        near = self._nearest(workload.object.node.text.path)
        if len(near) != 1 or near[0] is None:
            return None
        others = {
            images.reference(one.image).repository
            for other in self.cluster.workloads
            for one in (*other.containers, *other.init)
            if one.image is not None
            and not self.facts(one.image).known
            and not one.is_proxy
            and not any(images.reference(one.image).name.lower() in _names(d.text.path) for d in self.dockerfiles)
        }
        return near[0] if others == {ref.repository} else None

    def _nearest(self, path: str) -> list[Dockerfile]:
        """The Dockerfiles of the closest folder that has any: the manifest's own, one above it, or the only ones."""
        folder = path.rsplit("/", 1)[0] if "/" in path else ""
        while folder:
            here = [one for one in self.dockerfiles if one.text.path.startswith(f"{folder}/")]
            if here:
                return here
            folder = folder.rsplit("/", 1)[0] if "/" in folder else ""
        return self.dockerfiles


def _chain_of(launch: Launch, read: Read) -> Chain:
    if launch.argv is None:  # nothing to follow: most manifests without their image, so no shell is loaded for them
        return Chain(launch, [Link(f"the entry point of {launch.base.name or 'the image'}", Does.UNKNOWN)])
    from lameduck.manifests.walking import chain_of  # noqa: PLC0415

    return chain_of(launch, read)


def _chain_of_script(text: Text, read: Read) -> Chain:
    from lameduck.manifests.walking import chain_of_script  # noqa: PLC0415

    return chain_of_script(text, read)


def _servers(workload: Workload) -> tuple[Container, ...]:
    sidecars = tuple(one for one in workload.init if one.kind == ContainerKind.SIDECAR)
    return (*workload.containers, *sidecars)


def _names(path: str) -> set[str]:
    """The names a Dockerfile's path stands for: its folder's, and its own suffix or stem."""
    parts = path.lower().split("/")
    name = parts[-1]
    found = {parts[-2]} if len(parts) > 1 else set()
    for word in ("dockerfile", "containerfile"):
        if name.startswith(f"{word}."):
            found.add(name.removeprefix(f"{word}."))
        if name.endswith(f".{word}"):
            found.add(name.removesuffix(f".{word}"))
    return found - {"docker", "build", "deploy", ""}


def _holds_action(raw: object, depth: int) -> bool:
    """Whether a template action is a value or a key, outside of block scalars (which are data of something else).

    To YAML an action without quotes is a mapping for a key: ``{{ .Values.name }}`` is ``{? {.Values.name: ~} : ~}``.
    """
    if depth > 40:
        return False
    value = getattr(raw, "value", None)
    if isinstance(value, str):
        return getattr(raw, "style", None) not in {"|", ">"} and bool(_GO_TEMPLATE.search(value))
    if not isinstance(value, list):
        return False
    for item in value:
        pair = item if isinstance(item, tuple) else (item,)
        if len(pair) == 2 and isinstance(getattr(pair[0], "value", None), list):
            return True
        if any(_holds_action(one, depth + 1) for one in pair):
            return True
    return False
