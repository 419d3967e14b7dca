"""One container of a manifest: its probes and hooks, its command and its environment.

Law: a field that decides when a container is ready, told to stop or ended is followed exactly (defaults are the API's)
or is said to be followed only in part.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from lameduck.core.errors import UsageError
from lameduck.core.instants import SECOND
from lameduck.core.podspec import Hook, HookKind
from lameduck.core.probes import ProbeSpec
from lameduck.local.manifest.chosen import place
from lameduck.local.podplan import Field
from lameduck.local.spec import signal_number
from lameduck.manifests.project import Project
from lameduck.manifests.workloads import Container, KubeObject, Workload, same_namespace
from lameduck.manifests.yamlnode import Node

Say = Callable[[str], None]
"""Takes a note about what is followed only in part."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One container under the eyes of one reader: `target` is the Service's port, which every pod knows by itself."""

    container: Container
    target: int | None
    say: Say

    def probe(self, kind: str) -> ProbeSpec | None:
        """``readinessProbe`` and its like; None without one."""
        node = self.container.node[kind]
        if not node or node.is_null:
            return None
        return ProbeSpec(
            path=node["grpc"]["service"].string or "" if node["grpc"] else _path(node["httpGet"]),
            scheme="grpc" if node["grpc"] else _scheme(node["httpGet"]),
            port=self._probe_port(node),
            command=node["exec"]["command"].strings or (),
            headers=tuple(
                (one["name"].string or "", one["value"].string or "") for one in node["httpGet"]["httpHeaders"].items()
            ),
            period=max(1, self._number(node, "periodSeconds", 10)) * SECOND,
            timeout=max(1, self._number(node, "timeoutSeconds", 1)) * SECOND,
            initial_delay=self._number(node, "initialDelaySeconds", 0) * SECOND,
            success_threshold=max(1, self._number(node, "successThreshold", 1)),
            failure_threshold=max(1, self._number(node, "failureThreshold", 3)),
        )

    def hook(self, kind: str) -> Hook | None:
        """``preStop`` or ``postStart``; None without one."""
        node = self.container.lifecycle[kind]
        if not node or node.is_null:
            return None
        if node["sleep"]:
            return Hook(HookKind.SLEEP, seconds=self._number(node["sleep"], "seconds", 0))
        if node["exec"]:
            return Hook(HookKind.EXEC, command=node["exec"]["command"].strings or ())
        if node["httpGet"]:
            asked = node["httpGet"]
            return Hook(HookKind.HTTP, path=_path(asked), port=self._port(asked), scheme=_scheme(asked))
        self.say(f"{self.container.name}'s {kind}: the API server would refuse it, or it does nothing")
        return None

    def stop_signal(self, images: int, system: str | None) -> int:
        """``lifecycle.stopSignal`` (KEP-4960), else the image's. `system` is ``spec.os.name``. Raises `UsageError`."""
        node, name = self.container.lifecycle["stopSignal"], self.container.name
        if not node or node.is_null:
            return images
        if system != "linux":
            raise UsageError(
                f"{place(node)}: the API refuses a stopSignal in a pod without os: {{name: linux}}: add it to the spec"
                if system is None
                else f"{place(node)}: a stopSignal in a pod for {system}: pods on this machine are for linux"
            )
        word = node.string or ""
        try:
            number = signal_number(word)
        except ValueError:
            number = 0
        if not number or word != word.upper() or not word.startswith("SIG"):
            raise UsageError(f"{place(node)}: the API refuses the stopSignal {word!r}: it is a name like SIGQUIT")
        self.say(
            f"container {name} gets its stopSignal {word}: so only where the feature gate ContainerStopSignals is on "
            "(off by default, see LD108)"
        )
        return number

    def _number(self, node: Node, key: str, default: int) -> int:
        value = node[key]
        if not value or value.is_null:
            return default
        if value.integer is None:
            raise UsageError(f"{place(value)}: {key} is a whole number, not {value.string or 'this'}")
        return value.integer

    def _probe_port(self, node: Node) -> int:
        for kind in ("httpGet", "tcpSocket", "grpc"):
            if node[kind]:
                return self._port(node[kind])
        return 0

    def _port(self, node: Node) -> int:
        """The port's number, 0 for the one that the Service targets (pods that share a network have their own)."""
        wanted = node["port"]
        if not wanted:
            raise UsageError(f"{place(node)}: it names no port")
        text = wanted.string or ""
        number = int(text) if text.isdigit() else dict(self.container.ports).get(text)
        if number is None:
            raise UsageError(f"{place(wanted)}: container {self.container.name} has no port named {text!r}")
        return 0 if number == self.target else number


def _path(node: Node) -> str:
    """What an httpGet asks for, "" without one."""
    path = node["path"].string or "/" if node else ""
    return path if not path or path.startswith("/") else f"/{path}"


def _scheme(node: Node) -> str:
    return "https" if node["scheme"].string == "HTTPS" else ""


def variables(
    container: Container, workload: Workload, project: Project, say: Say
) -> Iterator[tuple[str, str | Field]]:
    """The container's environment in its order: ``envFrom`` first, as the kubelet does."""
    for source in container.node["envFrom"].items():
        prefix = source["prefix"].string or ""
        for kind, key in (("ConfigMap", "configMapRef"), ("Secret", "secretRef")):
            if source[key]:
                found = _find(project, workload, kind, source[key])
                yield from ((prefix + name, value) for name, value in (texts(found).items() if found else ()))
    for one in container.node["env"].items():
        name = one["name"].string or ""
        if not one["valueFrom"]:
            yield name, one["value"].string or ""
            continue
        source = one["valueFrom"]
        if source["fieldRef"]:
            yield name, Field(source["fieldRef"]["fieldPath"].string or "")
        elif source["resourceFieldRef"]:
            say(f"{container.name}: {name} (resourceFieldRef) is not set")
        else:
            value = _from_key(source, workload, project)
            if value is not None:
                yield name, value


def _from_key(source: Node, workload: Workload, project: Project) -> str | None:
    for kind, key in (("ConfigMap", "configMapKeyRef"), ("Secret", "secretKeyRef")):
        ref = source[key]
        if not ref:
            continue
        found = _find(project, workload, kind, ref)
        value = texts(found).get(ref["key"].string or "") if found else None
        if value is None and not ref["optional"].boolean:
            raise UsageError(f"{place(ref)}: {kind} {ref['name'].string} has no key {ref['key'].string}")
        return value
    return None


def _find(project: Project, workload: Workload, kind: str, ref: Node) -> KubeObject | None:
    return find(project, workload, kind, ref["name"].string or "", ref)


def find(project: Project, workload: Workload, kind: str, name: str, ref: Node) -> KubeObject | None:
    """A ConfigMap or Secret of the input; None where it is optional and absent. Raises `UsageError`."""
    for thing in project.cluster.objects:
        if thing.kind == kind and thing.name == name and same_namespace(thing, workload.object):
            return thing
    if ref["optional"].boolean:
        return None
    raise UsageError(f"{place(ref)}: {kind} {name} is not in the input: add it, since no cluster has it here")


def texts(thing: KubeObject) -> dict[str, str]:
    """A ConfigMap's or Secret's values as text."""
    return {key: value.decode(errors="replace") for key, value in contents(thing).items()}


def contents(thing: KubeObject) -> dict[str, bytes]:
    """A ConfigMap's or Secret's values. Raises `UsageError` for what is no base64."""
    node = thing.node
    plain = "stringData" if thing.kind == "Secret" else "data"
    coded = "data" if thing.kind == "Secret" else "binaryData"
    found = {key: _decoded(value) for key, value in node[coded].entries()}
    return found | {key: (value.string or "").encode() for key, value in node[plain].entries()}


def _decoded(value: Node) -> bytes:
    try:
        return base64.b64decode("".join((value.string or "").split()), validate=True)
    except (binascii.Error, ValueError):
        raise UsageError(f"{place(value)}: this is no base64") from None
