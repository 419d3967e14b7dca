"""What a kustomization says without being built: which objects its patches change, which ConfigMaps it generates.

Law: nothing is applied. Of a patched object only the fields are known that patches speak of: that its own text lacks
them proves nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from lameduck.manifests.imagefiles import Found, Read, whole
from lameduck.manifests.text import Text
from lameduck.manifests.workloads import objects_of
from lameduck.manifests.yamlnode import Node, documents

ANYTHING = "*"
"""What a patch touches that cannot be read."""
NAMES = frozenset({"kustomization.yaml", "kustomization.yml", "Kustomization"})


@dataclass(slots=True)
class Kustomization:
    """One kustomization."""

    patched: dict[tuple[str, str], set[str]] = field(default_factory=dict)
    """The fields that patches speak of, by the object's kind and name; an empty name is every one of the kind."""
    generated: dict[str, dict[str, Found]] = field(default_factory=dict)
    """The files of generated ConfigMaps, by the map's name and the file's."""


def kustomization(text: Text, document: Node, read: Read) -> Kustomization:
    """Read one kustomization; ``read`` gives the files it names, by their paths."""
    found = Kustomization()
    folder = text.path.rsplit("/", 1)[0] + "/" if "/" in text.path else ""
    for item in document["configMapGenerator"].items():
        files = found.generated.setdefault(item["name"].string or "", {})
        for entry in item["files"].strings or ():
            name, _, path = entry.rpartition("=")
            if (file := read(f"{folder}{path}")) is not None:
                files[name or path.rsplit("/", 1)[-1]] = whole(file)
    for key in ("patches", "patchesStrategicMerge", "patchesJson6902"):
        for item in document[key].items():
            inline = item["patch"].string or (item.string if item.string and "\n" in item.string else None)
            patch = Text("patch", inline) if inline else read(f"{folder}{item['path'].string or item.string}")
            bodies = [one for one in documents(patch) if isinstance(one, Node)] if patch else []
            touched = {word for one in bodies for word in fields_of(one)} or {ANYTHING}
            target = item["target"]
            named = {(thing.kind, thing.name) for one in bodies for thing in objects_of(one)}
            if target["kind"].string:
                named = {(target["kind"].string or "", target["name"].string or "")}
            for each in named:
                found.patched.setdefault(each, set()).update(touched)
    return found


def fields_of(patch: Node) -> Iterator[str]:
    """The names of all fields that a patch speaks of, as keys or in the paths of its operations."""
    for name, value in patch.entries():
        yield name
        if name == "path":
            yield from (value.string or "").split("/")
        yield from fields_of(value)
    for item in patch.items():
        yield from fields_of(item)
