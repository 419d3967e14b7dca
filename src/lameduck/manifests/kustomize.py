"""What a kustomization says without being built: which objects its patches change, which ConfigMaps it generates.

Law: nothing is applied. A patched object is only known to be patched, so that what its own text lacks proves nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from lameduck.manifests.imagefiles import Found, Read, whole
from lameduck.manifests.text import Text
from lameduck.manifests.workloads import objects_of
from lameduck.manifests.yamlnode import Node, documents

NAMES = frozenset({"kustomization.yaml", "kustomization.yml", "Kustomization"})


@dataclass(slots=True)
class Kustomization:
    """One kustomization."""

    patched: set[tuple[str, str]] = field(default_factory=set)
    """Kinds and names; an empty name is every one of the kind."""
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
            target = item["target"]
            if target["kind"].string:
                found.patched.add((target["kind"].string or "", target["name"].string or ""))
            inline = item["patch"].string or (item.string if item.string and "\n" in item.string else None)
            patch = Text("patch", inline) if inline else read(f"{folder}{item['path'].string or item.string}")
            for one in documents(patch) if patch else ():
                if isinstance(one, Node):
                    found.patched |= {(thing.kind, thing.name) for thing in objects_of(one)}
    return found
