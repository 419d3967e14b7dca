"""What a Dockerfile gives a container when no image runs: its command, folder, variables, stop signal and files.

Laws: ``command`` and ``args`` of the manifest stand over ENTRYPOINT and CMD as in Kubernetes; what COPY takes from the
build context is at its place in the container, as it is now; what another stage built, or RUN made, is not here and is
named.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lameduck.core.errors import UsageError
from lameduck.local.manifest.containers import Say
from lameduck.local.mounting import Mount
from lameduck.local.spec import signal_number
from lameduck.manifests.dockerfile import Copy, Dockerfile, Stage, join, workdir_of
from lameduck.manifests.imagefiles import Read
from lameduck.manifests.images import facts
from lameduck.manifests.launch import of_container, of_image
from lameduck.manifests.signals import signal_name
from lameduck.manifests.workloads import Container, Workload

_ABOVE = 3
"""So many folders above the Dockerfile's may be the build context."""


@dataclass(frozen=True, slots=True)
class Image:
    """What is known of how a container starts. `command` is () where nobody says it."""

    command: tuple[str, ...] = ()
    folder: str = ""
    variables: tuple[tuple[str, str], ...] = ()
    stop_signal: int = 15
    mounts: tuple[Mount, ...] = ()


def read(path: str, reader: Read) -> Dockerfile:
    """The Dockerfile at a path. Raises `UsageError`."""
    text = reader(path)
    if text is None:
        raise UsageError(f"--dockerfile {path}: there is no such file, or it is no text")
    dockerfile = Dockerfile(text)
    if dockerfile.final is None:
        raise UsageError(f"--dockerfile {path}: there is no FROM instruction in it")
    return dockerfile


def of(container: Container, workload: Workload, dockerfile: Dockerfile | None, say: Say) -> Image:
    """How a container starts, by its manifest and by a Dockerfile, None for none."""
    launch = of_container(container, workload, dockerfile)
    command: tuple[str, ...] = ()
    if launch is not None and (dockerfile is not None or container.command is not None):
        command = launch.argv or ()
    if dockerfile is None or dockerfile.final is None:
        return Image(command, stop_signal=_number(facts(container.image or "").stop_signal))
    stage = dockerfile.final
    stop = next((line.value for one in _lineage(stage) if (line := one.last("STOPSIGNAL")) is not None), None)
    number = _number(signal_name(stop) if stop else launch.stop_signal if launch else None)
    where = workdir_of(stage)
    mounts = tuple(mount for one in reversed(_lineage(stage)) for mount in _copied(one, dockerfile, say))
    alone = of_image(dockerfile)
    variables = tuple(alone.environment.items()) if alone else ()
    return Image(command, where if where != "/" else "", variables, number, mounts)


def _lineage(stage: Stage) -> list[Stage]:
    return [stage, *(_lineage(stage.parent) if stage.parent else [])]


def _number(name: str | None) -> int:
    """A signal's number by its name without SIG, or by itself; 15 for what is unknown."""
    if name is None:
        return 15
    try:
        return signal_number(name)
    except ValueError:
        return 15


def _copied(stage: Stage, dockerfile: Dockerfile, say: Say) -> list[Mount]:
    found: list[Mount] = []
    for copy in stage.copies:
        if copy.origin:
            say(f"{dockerfile.text.path}: what is copied from {copy.origin} to {copy.target} is not here")
        elif copy.body is None and "$" not in copy.source and "://" not in copy.source:
            found += _mounts(copy, dockerfile, say)
        else:
            say(f"{dockerfile.text.path}: {copy.source} for {copy.target} is not here")
    return found


def _mounts(copy: Copy, dockerfile: Dockerfile, say: Say) -> list[Mount]:
    target, name = join(copy.workdir, copy.target), copy.source.removeprefix("/") or "."
    folder = Path(dockerfile.text.path).resolve().parent
    for context in (folder, *list(folder.parents)[:_ABOVE]):
        sources = sorted(context.glob(name)) if name != "." else [context]
        if not sources:
            continue
        into = copy.many or copy.target.endswith("/") or copy.target in {".", "./"} or len(sources) > 1
        return [
            Mount(str(one), target if one.is_dir() or not into else join(target, one.name))
            for one in sources
            if target != "/" or not one.is_dir()
        ]
    say(f"{dockerfile.text.path}: {copy.source} is not in the build context")
    return []
