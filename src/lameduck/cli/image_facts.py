"""What an image brings, from the configuration, from what docker inspect printed, or from an image archive.

Law: nothing is asked of a registry or a daemon. A file that says nothing about a thing leaves it unknown.
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from lameduck.core.errors import UsageError
from lameduck.manifests.images import ImageFacts
from lameduck.manifests.programs import base, server_of
from lameduck.manifests.signals import signal_name

Named = tuple[str, ImageFacts]
SHELLS = {"dash": "dash", "bash": "bash", "busybox": "ash"}
"""A program that /bin/sh links to, and the shell that it then is."""
_KEYS = {"shell", "sleep", "stop-signal", "entrypoint", "cmd", "server"}


def configured(table: Mapping[str, Any]) -> Iterator[Named]:
    """The table ``[images."PATTERN"]`` of the configuration. Raises `UsageError` for a key that nobody knows."""
    for pattern, said in table.items():
        if not isinstance(said, dict) or not set(said) <= _KEYS:
            odd = ", ".join(sorted(set(said) - _KEYS)) if isinstance(said, dict) else repr(said)
            raise UsageError(f"images.{pattern}: {odd} is none of {', '.join(sorted(_KEYS))}")
        shell = said.get("shell")
        yield (
            pattern,
            ImageFacts(
                pattern,
                shell=shell,
                sleep=said.get("sleep", None if shell is None else bool(shell)),
                stop_signal=signal_name(str(said["stop-signal"])) if "stop-signal" in said else None,
                entrypoint=tuple(said["entrypoint"]) if "entrypoint" in said else None,
                cmd=tuple(said.get("cmd", ())),
                server=str(said.get("server", "")),
            ),
        )


def read(file: str) -> list[Named]:
    """The images of one file. Raises `UsageError` for one that is neither an archive nor docker inspect's JSON."""
    path = Path(file)
    try:
        if tarfile.is_tarfile(path):
            with tarfile.open(path) as archive:
                return list(_archive(archive))
        said = json.loads(path.read_text())
        return [pair for one in (said if isinstance(said, list) else [said]) for pair in _inspected(one)]
    except OSError as error:
        raise UsageError(f"{file}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError, tarfile.TarError) as error:
        raise UsageError(f"{file}: neither an image archive nor what docker inspect prints") from error


def _inspected(one: Mapping[str, Any]) -> Iterator[Named]:
    for name in [*(one.get("RepoTags") or ()), *(one.get("RepoDigests") or ())]:
        yield name, _facts(name, one["Config"] or {}, None, None)


def _facts(name: str, config: Mapping[str, Any], shell: str | None, sleep: bool | None) -> ImageFacts:
    entry, cmd = tuple(config.get("Entrypoint") or ()), tuple(config.get("Cmd") or ())
    server = server_of(entry or cmd)
    signal = signal_name(config.get("StopSignal") or "") or "TERM"
    return ImageFacts(name, True, shell, sleep, signal, entry, cmd, server=server.name if server else "")


def _archive(archive: tarfile.TarFile) -> Iterator[Named]:
    names = set(archive.getnames())
    if "manifest.json" in names:  # docker save, and most OCI archives beside it
        for one in _json(archive, "manifest.json"):
            shell, sleep = _programs(archive, one.get("Layers") or ())
            config = _json(archive, one["Config"]).get("config") or {}
            yield from ((tag, _facts(tag, config, shell, sleep)) for tag in one.get("RepoTags") or ())
        return
    for described in _json(archive, "index.json")["manifests"]:
        notes = described.get("annotations") or {}
        tag = notes.get("io.containerd.image.name") or notes.get("org.opencontainers.image.ref.name")
        manifest = _json(archive, _blob(described))
        if tag and "config" in manifest:
            shell, sleep = _programs(archive, [_blob(layer) for layer in manifest["layers"]])
            yield tag, _facts(tag, _json(archive, _blob(manifest["config"])).get("config") or {}, shell, sleep)


def _blob(described: Mapping[str, Any]) -> str:
    return f"blobs/{described['digest'].replace(':', '/')}"


def _json(archive: tarfile.TarFile, name: str) -> Any:
    member = archive.extractfile(name)
    if member is None:
        raise KeyError(name)
    return json.load(member)


def _programs(archive: tarfile.TarFile, layers: Any) -> tuple[str, bool]:
    """The shell behind /bin/sh ("" for none), and whether there is a sleep."""
    shell, sleep = "", False
    for name in layers:
        member = archive.extractfile(name)
        if member is None:
            raise KeyError(name)
        with tarfile.open(fileobj=member) as layer:
            for one in layer:
                path = PurePosixPath("/", one.name)
                if path.parent not in {PurePosixPath("/bin"), PurePosixPath("/usr/bin")}:
                    continue
                if path.name == "sh":
                    shell = SHELLS.get(base(one.linkname), "") if one.linkname else "sh"
                sleep = sleep or path.name == "sleep"
    return shell, sleep
