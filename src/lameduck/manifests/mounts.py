"""Files as a container sees them: what it mounts from ConfigMaps, else what its image was given.

Law: a ConfigMap is read as the kubelet mounts it (``items``, ``subPath``); only ConfigMaps of the input count, and
files of a kustomization's ``configMapGenerator``, whose names carry no hash yet. What else is mounted is unknown.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from lameduck.manifests import imagefiles
from lameduck.manifests.imagefiles import Found, Read
from lameduck.manifests.launch import Launch, scalar
from lameduck.manifests.workloads import Container, KubeObject, Workload
from lameduck.manifests.yamlnode import Node

Generated = Mapping[str, Mapping[str, Found]]
"""The files of generated ConfigMaps, by the map's name and the file's."""


def mounted(
    container: Container, workload: Workload, configs: Iterable[KubeObject], generated: Generated
) -> dict[str, Found]:
    """The files that a container mounts from ConfigMaps, by their paths in the container."""
    volumes = {volume["name"].string: volume["configMap"] for volume in workload.pod["volumes"].items()}
    found: dict[str, Found] = {}
    for mount in container.node["volumeMounts"].items():
        source, path = volumes.get(mount["name"].string), (mount["mountPath"].string or "").rstrip("/")
        if not source or not path:
            continue
        files = dict(_files(source, workload, configs, generated))
        inside = mount["subPath"].string
        if inside is None:
            found.update({f"{path}/{name}": file for name, file in files.items()})
        elif inside in files:
            found[path] = files[inside]
    return found


def _files(
    source: Node, workload: Workload, configs: Iterable[KubeObject], generated: Generated
) -> Iterator[tuple[str, Found]]:
    """The files of one configMap volume, by their names in it."""
    name = source["name"].string or ""
    data = dict(generated.get(name, {}))
    for one in configs:
        if one.name == name and one.namespace in {"", workload.object.namespace}:
            data.update((key, _value(value)) for key, value in one.node["data"].entries() if value.string)
    items = {item["key"].string: item["path"].string for item in source["items"].items()}
    for key, file in data.items():
        if not items:
            yield key, file
        elif (path := items.get(key)) is not None:
            yield path, file


def _value(node: Node) -> Found:
    value = node.string or ""
    code = scalar(node.text, value, node.start, node.end)
    literal = getattr(node.raw, "style", None) == "|"
    return Found(node.text, node.start, node.end, value, code.offsets, own_lines=literal)


def find_in(launch: Launch, path: str, read: Read) -> Found | None:
    """The file that a path of the container is; None for one that is not in the input."""
    if path in launch.mounts:
        return launch.mounts[path]
    if launch.dockerfile is None or launch.stage is None:
        return None
    return imagefiles.find(path, launch.dockerfile, launch.stage, read)
