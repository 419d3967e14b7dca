"""Where the fields of a graceful rollout belong, and how a block in the wrong place is moved.

Law: only fields of the table are judged, only in places of the core API's own schema. Custom resources are left
alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from lameduck.core.finding import Edit
from lameduck.manifests.splice import Refused, entry_text, insert_text, remove
from lameduck.manifests.workloads import Workload
from lameduck.manifests.yamlnode import Node

_STRATEGY = {"Deployment": "strategy", "StatefulSet": "updateStrategy", "DaemonSet": "updateStrategy"}
_PROBES = ("readinessProbe", "livenessProbe", "startupProbe")
_KNOWN = {
    "spec": (
        "replicas",
        "strategy",
        "updateStrategy",
        "minReadySeconds",
        "selector",
        "template",
        "progressDeadlineSeconds",
    ),
    "pod": ("terminationGracePeriodSeconds", "containers", "initContainers", "readinessGates"),
    "container": ("lifecycle", *_PROBES, "command", "args"),
    "lifecycle": ("preStop", "postStart", "stopSignal"),
    "strategy": ("type", "rollingUpdate"),
    "rollingUpdate": ("maxSurge", "maxUnavailable", "partition"),
}


@dataclass(frozen=True, slots=True)
class Misplaced:
    """A field that the API drops: where it stands, and where it belongs."""

    node: Node
    holder: Node
    key: str
    belongs: str
    """The right place, as a path for people."""
    target: Node | None = None
    """The mapping it belongs into, where that is certain."""
    rename: str = ""
    """The right spelling or name, where the place is right."""


def misplaced(workload: Workload) -> Iterator[Misplaced]:
    """Every field of a workload that stands where the API drops it."""
    kind, spec, pod = workload.kind, workload.spec, workload.pod
    if kind not in _STRATEGY:
        return
    root, strategy = workload.object.node, _STRATEGY[kind]
    only = workload.containers[0].node if len(workload.containers) == 1 else None
    yield from _moved(root, {"replicas", "strategy", "updateStrategy", "template", "minReadySeconds"}, "spec", spec)
    for holder in (workload.template, pod):
        yield from _moved(holder, {strategy, "minReadySeconds", "progressDeadlineSeconds", "replicas"}, "spec", spec)
    yield from _moved(workload.template, {"terminationGracePeriodSeconds"}, "spec.template.spec", pod)
    yield from _moved(spec, {"terminationGracePeriodSeconds"}, "spec.template.spec", pod)
    for holder in (spec, workload.template, pod):
        yield from _moved(holder, {"lifecycle", *_PROBES}, "the container", only)
        yield from _moved(holder, {"preStop"}, "the container's lifecycle", None)
    yield from _moved(spec, {"rollingUpdate"}, f"spec.{strategy}", spec[strategy] or None)
    yield from _moved(spec, {"maxSurge", "maxUnavailable"}, f"spec.{strategy}.rollingUpdate", None)
    other = "updateStrategy" if strategy == "strategy" else "strategy"
    if spec[other] and not spec[strategy]:
        yield Misplaced(spec[other], spec, other, f"spec.{strategy}", rename=strategy)
    yield from _strategy(spec[strategy], f"spec.{strategy}")
    for container in (*workload.containers, *workload.init):
        yield from _container(container.node, pod, spec, strategy)
    yield from _misspelt(spec, "spec", "spec")
    yield from _misspelt(pod, "pod", "spec.template.spec")


def _strategy(node: Node, path: str) -> Iterator[Misplaced]:
    yield from _moved(
        node, {"maxSurge", "maxUnavailable", "partition"}, f"{path}.rollingUpdate", node["rollingUpdate"] or None
    )
    yield from _misspelt(node, "strategy", path)
    yield from _misspelt(node["rollingUpdate"], "rollingUpdate", f"{path}.rollingUpdate")


def _container(node: Node, pod: Node, spec: Node, strategy: str) -> Iterator[Misplaced]:
    yield from _moved(node, {"terminationGracePeriodSeconds"}, "spec.template.spec", pod)
    yield from _moved(node, {strategy, "minReadySeconds", "replicas"}, "spec", spec)
    yield from _moved(
        node, {"preStop", "postStart", "stopSignal"}, "the container's lifecycle", node["lifecycle"] or None
    )
    yield from _misspelt(node, "container", "the container")
    lifecycle = node["lifecycle"]
    yield from _moved(lifecycle, set(_PROBES), "the container", node)
    yield from _moved(lifecycle, {"terminationGracePeriodSeconds"}, "spec.template.spec", pod)
    yield from _misspelt(lifecycle, "lifecycle", "the container's lifecycle")
    hook = lifecycle["preStop"]
    yield from _moved(hook, {"terminationGracePeriodSeconds"}, "spec.template.spec", pod)


def _moved(holder: Node, keys: set[str], belongs: str, target: Node | None) -> Iterator[Misplaced]:
    for key in holder.keys():  # noqa: SIM118  a node is not a dictionary
        if key in keys and (target is None or target.raw is not holder.raw):
            yield Misplaced(holder[key], holder, key, belongs, target)


def _misspelt(holder: Node, place: str, path: str) -> Iterator[Misplaced]:
    right = {name.lower(): name for name in _KNOWN[place]}
    for key in holder.keys():  # noqa: SIM118  a node is not a dictionary
        name = right.get(key.lower().replace("-", "").replace("_", ""))
        if name is not None and name != key and not holder[name]:
            yield Misplaced(
                holder[key], holder, key, f"{path}.{name}" if "." in path else f"{name} of {path}", rename=name
            )


def mend(one: Misplaced) -> list[Edit]:
    """Move the block to its place, or give it its right name. Raises `Refused`."""
    if one.node.merged or one.node.key is None:
        raise Refused("it comes through a merge key")
    if one.rename:
        start = int(one.node.key.start_mark.index) + one.node.shift
        end = int(one.node.key.end_mark.index) + one.node.shift
        return [Edit(start, end, one.rename)]
    if one.target is None or not one.target.is_mapping:
        raise Refused("the right place is not certain")
    if one.target[one.key]:
        raise Refused("the right place has one already")
    if one.holder.is_flow:
        raise Refused("it is written in one line")
    inserted = insert_text(one.target, entry_text(one.holder, one.key))
    removed = remove(one.holder, one.key)
    if any(edit.start < inserted.start < edit.end for edit in removed):
        raise Refused("the places overlap")
    return [*removed, inserted]
