"""Finds the file of the repository that a path in the image was copied from.

Law: a path is followed backwards through COPY and ADD, stage by stage, the last one first. The build context is not
written anywhere, so the Dockerfile's folder is tried first and then its parents. What cannot be found is unknown.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase

from lameduck.manifests.dockerfile import Copy, Dockerfile, Stage, join, workdir_of
from lameduck.manifests.text import Text

MAX_PARENTS = 5

Read = Callable[[str], Text | None]
"""Reads a file of the repository by its path; None when there is none."""


@dataclass(frozen=True, slots=True)
class Found:
    """A file's text, the stretch of a Dockerfile that is a here document, or a value of a ConfigMap."""

    text: Text
    start: int
    end: int
    value: str | None = None
    """What it holds, where that is not the stretch itself: a YAML scalar, read."""
    offsets: tuple[int, ...] = ()
    """Then: the place of each of its characters."""
    own_lines: bool = True
    """Whether its lines are lines of the file, so that one can be put between them."""

    @property
    def content(self) -> str:
        """What the file holds."""
        return self.text.content[self.start : self.end] if self.value is None else self.value


def whole(text: Text) -> Found:
    """All of a file."""
    return Found(text, 0, len(text.content))


def find(path: str, dockerfile: Dockerfile, stage: Stage, read: Read) -> Found | None:
    """The file that ``path`` (absolute, relative to WORKDIR, or a bare name looked up in PATH) is in the image."""
    if "$" in path:
        return None
    if "/" in path:
        return _exact(join(workdir_of(stage), path), dockerfile, stage, read) or _by_name(path, dockerfile, stage, read)
    for folder in ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin", workdir_of(stage)):
        if found := _exact(join(folder, path), dockerfile, stage, read):
            return found
    return _by_name(path, dockerfile, stage, read)


def _exact(path: str, dockerfile: Dockerfile, stage: Stage, read: Read, depth: int = 0) -> Found | None:
    for copy in reversed(stage.copies):
        for source in _sources(copy, path):
            if found := _read(copy, source, dockerfile, read, depth):
                return found
    if stage.parent is not None and depth < MAX_PARENTS:
        return _exact(path, dockerfile, stage.parent, read, depth + 1)
    return None


def _sources(copy: Copy, path: str) -> list[str]:
    """The sources that ``path`` may have been copied from, by one COPY."""
    target = join(copy.workdir, copy.target)
    source = copy.source.rstrip("/") or "."
    name = source.rsplit("/", 1)[-1]
    folder_target = copy.many or copy.target.endswith("/") or copy.target in {".", "./"} or "*" in name
    found = []
    if path == target and not folder_target:
        found.append(copy.source)
    prefix = target.rstrip("/") + "/"
    if path.startswith(prefix):
        rest = path.removeprefix(prefix)
        if "*" in name or "?" in name:
            first = rest.split("/", 1)[0]
            if fnmatchcase(first, name):
                found.append(f"{source[: -len(name)]}{rest}")
        elif rest == name:
            found.append(source)
        if "*" not in name:
            found.append(f"{source}/{rest}" if source != "." else rest)
    return found


def _read(copy: Copy, source: str, dockerfile: Dockerfile, read: Read, depth: int) -> Found | None:
    if copy.body is not None:
        return Found(dockerfile.text, copy.body.start, copy.body.end)
    if copy.origin:
        stage = dockerfile.stage(copy.origin)
        if stage is None or depth >= MAX_PARENTS:
            return None
        return _exact(join("/", source), dockerfile, stage, read, depth + 1)
    if re.match(r"https?://|git@", source) or "$" in source:
        return None
    return in_context(source, dockerfile, read)


def in_context(source: str, dockerfile: Dockerfile, read: Read) -> Found | None:
    """A file of the build context, which may be the Dockerfile's folder or one above it."""
    folder = dockerfile.text.path.rsplit("/", 1)[0] if "/" in dockerfile.text.path else ""
    for _ in range(MAX_PARENTS):
        text = read(_clean(f"{folder}/{source}" if folder else source))
        if text is not None:
            return whole(text)
        if folder in {"", "/"}:
            break
        folder = folder.rsplit("/", 1)[0] if "/" in folder else ""
    return None


def _clean(path: str) -> str:
    parts: list[str] = []
    for part in path.split("/"):
        if part == ".." and parts and parts[-1] != "..":
            parts.pop()
        elif part != "." and (part or not parts):
            parts.append(part)
    return "/".join(parts)


def _by_name(path: str, dockerfile: Dockerfile, stage: Stage, read: Read) -> Found | None:
    """A linked or moved file: one that was copied under the same name."""
    name = path.rsplit("/", 1)[-1]
    for copy in reversed(stage.copies):
        last = copy.source.rstrip("/").rsplit("/", 1)[-1]
        named = name in {last, join(copy.workdir, copy.target).rsplit("/", 1)[-1]}
        if named and (found := _read(copy, copy.source, dockerfile, read, 0)):
            return found
    if stage.parent is not None:
        return _by_name(path, dockerfile, stage.parent, read)
    return None
