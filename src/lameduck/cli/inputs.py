"""Reads what lint, fix and inject look at: files, folders and standard input.

Law: every file is read once, as bytes decoded from UTF-8 with nothing translated, so that a fix writes back what it
did not touch. Folders are walked for manifests and Dockerfiles; scripts are read when a Dockerfile leads to them, when
named, or when they are called entry points and no Dockerfile is there.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from lameduck.core.errors import UsageError
from lameduck.manifests.dockerfile import is_dockerfile
from lameduck.manifests.text import Text

_SKIPPED = {"node_modules", "__pycache__", "venv", "site-packages"}
_KUSTOMIZE = {"kustomization.yaml", "kustomization.yml", "Kustomization"}
_ENTRY = re.compile(r"(docker[-_])?entry[-_]?point(\.\w+)?\Z")
"""Start scripts by their name: read where no Dockerfile of the input says which ones are used."""
MAX_BYTES = 20_000_000


@dataclass(slots=True)
class Inputs:
    """The texts to check, and a reader for the files that they lead to."""

    texts: list[Text] = field(default_factory=list)
    unreadable: list[tuple[str, str]] = field(default_factory=list)
    """Paths that could not be read, with the reason."""
    generated: set[str] = field(default_factory=set)
    """Paths that are no file somebody could edit: objects of a cluster, rendered templates."""
    notes: list[str] = field(default_factory=list)
    """What else the user should know."""
    cache: dict[str, Text | None] = field(default_factory=dict)

    def read(self, path: str) -> Text | None:
        """A file's text by its path; None when there is none, or when it is no text."""
        if path not in self.cache:
            self.cache[path] = self._read(Path(path))
        return self.cache[path]

    def _read(self, path: Path) -> Text | None:
        try:
            if not path.is_file() or path.stat().st_size > MAX_BYTES:
                return None
            return Text(str(path), path.read_bytes().decode())
        except (OSError, UnicodeDecodeError, ValueError):
            return None


def load(paths: Iterable[str], *, everything: bool = True) -> Inputs:
    """Read what the paths name: files, folders, ``-`` for standard input; without any, this folder (or nothing).

    Raises `UsageError` for a path that is not there.
    """
    inputs = Inputs()
    seen: set[str] = set()
    scripts: list[Path] = []
    for given in paths or (["."] if everything else []):
        if given == "-":
            text = Text("-", sys.stdin.buffer.read().decode(errors="replace"))
            inputs.cache["-"] = text
            inputs.texts.append(text)
            continue
        path = Path(given)
        if not path.exists():
            raise UsageError(f"there is no file or folder '{given}'")
        for file in _walk(path) if path.is_dir() else [path]:
            name = str(file)
            if name in seen:
                continue
            seen.add(name)
            if path.is_dir() and _ENTRY.match(file.name):
                scripts.append(file)
            else:
                _add(inputs, file, named=not path.is_dir())
    if not any(is_dockerfile(text.path) for text in inputs.texts):  # else a Dockerfile leads to those that are used
        for file in scripts:
            _add(inputs, file, named=True)
    return inputs


def _add(inputs: Inputs, file: Path, *, named: bool) -> None:
    try:
        if file.stat().st_size > MAX_BYTES:
            inputs.unreadable.append((str(file), "larger than 20 MB"))
            return
        content = file.read_bytes()
    except OSError as error:
        inputs.unreadable.append((str(file), error.strerror or "cannot be read"))
        return
    yaml = file.suffix in {".yaml", ".yml", ".json"}
    key = b'"apiVersion"' if file.suffix == ".json" else b"kind"
    if yaml and not named and key not in content and file.name not in _KUSTOMIZE:
        return  # YAML or JSON of something else
    try:
        text = Text(str(file), content.decode())
    except UnicodeDecodeError as error:
        inputs.unreadable.append((str(file), f"not UTF-8 (byte {error.start})"))
        return
    inputs.cache[str(file)] = text
    inputs.texts.append(text)
    if "# Source: " in text.content or "config.kubernetes.io/origin" in text.content:
        inputs.generated.add(text.path)  # by helm template, by kustomize build


def _walk(folder: Path) -> Iterator[Path]:
    for here, folders, files in os.walk(folder):
        folders[:] = sorted(one for one in folders if not one.startswith(".") and one not in _SKIPPED)
        for name in sorted(files):
            manifest = name.endswith((".yaml", ".yml", ".json")) or name == "Kustomization"
            if manifest or is_dockerfile(name) or _ENTRY.match(name):
                yield Path(here) / name
