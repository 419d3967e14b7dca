"""The volumes of a manifest as mounts of this machine: emptyDir, ConfigMap, Secret, and folders that the user names.

Law: a volume that a container mounts is there, or the proof does not begin: an application without its files shows
another fault than the pod's.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from lameduck.core.errors import EnvironmentFault, UsageError
from lameduck.local.manifest.chosen import Wish, place
from lameduck.local.manifest.containers import contents, find
from lameduck.local.mounting import Mount
from lameduck.manifests.project import Project
from lameduck.manifests.workloads import Container, Workload
from lameduck.manifests.yamlnode import Node

EMPTY = "empty"
"""What ``--volume NAME=empty`` says: a folder of the pod's own."""


class File(NamedTuple):
    """A file of a ConfigMap or Secret volume."""

    content: bytes
    mode: int


class Volumes:
    """The volumes of one workload; files are written below `folder` when a container wants them."""

    def __init__(self, project: Project, workload: Workload, wish: Wish, folder: Path) -> None:
        self._project = project
        self._workload = workload
        self._wish = wish
        self._folder = folder
        self._declared = {one["name"].string or "": one for one in workload.pod["volumes"].items()}
        self._claims = {one.at("metadata", "name").string: one for one in workload.spec["volumeClaimTemplates"].items()}
        self._written: dict[str, Path] = {}

    def mounts(self, container: Container) -> tuple[tuple[Mount, ...], dict[str, str]]:
        """A container's mounts, and the paths that get an empty folder of the pod's own, with the volume's name."""
        found: list[Mount] = []
        empty: dict[str, str] = {}
        for one in container.node["volumeMounts"].items():
            name, at = one["name"].string or "", (one["mountPath"].string or "").rstrip("/")
            if not at.startswith("/"):
                raise UsageError(f"{place(one)}: a mountPath is absolute, not {at or 'empty'}")
            if one["subPathExpr"]:
                raise UsageError(f"{place(one)}: subPathExpr is not followed here; use subPath")
            source = self._source(name, one)
            if source is None:
                empty[at] = name
                continue
            inner = source / (one["subPath"].string or "")
            if not inner.exists():
                raise UsageError(f"{place(one)}: volume {name} has no {one['subPath'].string}")
            files = name in self._written
            found.append(Mount(str(inner), at, read_only=files or bool(one["readOnly"].boolean)))
        return tuple(found), empty

    def _source(self, name: str, mount: Node) -> Path | None:
        """Where a volume's files are; None for a folder of each pod's own."""
        wished = self._wish.volumes.get(name)
        if wished == EMPTY:
            return None
        if wished is not None:
            if not Path(wished).exists():
                raise UsageError(f"--volume {name}={wished}: there is no such folder")
            return Path(wished).resolve()
        volume = self._declared.get(name)
        if volume is None:
            if name in self._claims:
                raise UsageError(self._cannot(mount, name, "a persistent volume claim"))
            raise UsageError(f"{place(mount)}: {self._workload.object.title} has no volume {name}")
        if volume["emptyDir"].raw is not None:
            return None
        if name not in self._written:
            files = self._files(name, volume, mount)
            self._written[name] = self._write(name, files)
        return self._written[name]

    def _files(self, name: str, volume: Node, mount: Node) -> dict[str, File]:
        sources = volume["projected"]["sources"].items() if volume["projected"] else iter([volume])
        files: dict[str, File] = {}
        for source in sources:
            if source["configMap"]:
                files |= self._of("ConfigMap", source["configMap"], "name", volume["projected"])
            elif source["secret"]:
                key = "name" if source["secret"]["name"] else "secretName"
                files |= self._of("Secret", source["secret"], key, volume["projected"])
            else:
                kind = next((key for key in source.keys() if key != "name"), "nothing")  # noqa: SIM118 - a Node is no dict
                raise UsageError(self._cannot(mount, name, f"of the kind {kind}"))
        return files

    @staticmethod
    def _cannot(mount: Node, name: str, what: str) -> str:
        return (
            f"{place(mount)}: volume {name} is {what}, which nobody has here: "
            f"say what stands for it, with --volume {name}=DIR or --volume {name}={EMPTY}"
        )

    def _of(self, kind: str, node: Node, key: str, around: Node) -> dict[str, File]:
        thing = find(self._project, self._workload, kind, node[key].string or "", node)
        have = contents(thing) if thing else {}
        usual = _mode(node["defaultMode"] or around["defaultMode"], 0o644)
        items = list(node["items"].items())
        if not items:
            return {name: File(content, usual) for name, content in have.items()}
        picked = {}
        for item in items:
            name = item["key"].string or ""
            if name not in have:
                raise UsageError(f"{place(item)}: {kind} {node[key].string} has no key {name}")
            picked[item["path"].string or name] = File(have[name], _mode(item["mode"], usual))
        return picked

    def _write(self, name: str, files: dict[str, File]) -> Path:
        folder = self._folder / "volumes" / name
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for path, one in files.items():
                file = folder / path
                if ".." in Path(path).parts:
                    raise UsageError(f"a file of volume {name} may not be named {path}")
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(one.content)
                file.chmod(one.mode)
        except OSError as error:
            raise EnvironmentFault(f"cannot write the files of volume {name}: {error.strerror}") from None
        return folder


def _mode(node: Node, usual: int) -> int:
    """A file mode, which YAML 1.1 reads as octal where it begins with 0."""
    text = node.string or ""
    if not text.isdigit():
        return usual
    return int(text, 8) if text.startswith("0") else int(text)
