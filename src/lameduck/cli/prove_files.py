"""Proving manifests on this machine: read, choose, prove; then the fix in the text itself, and its proof.

Law: what is proven after a fix is the mended text read again, as if somebody had written it; the files stay as they
are.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from lameduck.core.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lameduck.core.plan import Plan
    from lameduck.local.manifest.chosen import Wish
    from lameduck.local.spec import LocalSpec
    from lameduck.manifests.imagefiles import Read
    from lameduck.manifests.project import Project
    from lameduck.manifests.text import Text


def run_files(arguments: argparse.Namespace, plan: Plan, about: dict[str, str], folder: Path) -> int:
    """Prove what the files hold, print it with the exact patches of the files, and verify them where that is asked."""
    from lameduck.cli.inputs import load
    from lameduck.cli.prove import exit_code, show
    from lameduck.cli.prove_local import perform, proven_again
    from lameduck.local.manifest.mending import Patching
    from lameduck.manifests.project import Project

    inputs = load(arguments.filename)
    for path, why in inputs.unreadable:
        raise UsageError(f"{path}: {why}")
    wish = wish_of(arguments)
    spec = spec_from(Project(inputs.texts, inputs.read), inputs.read, wish, arguments, plan, folder / "before")
    dockerfiles = [text for path in wish.dockerfiles.values() if (text := inputs.read(path)) is not None]
    patching = Patching(inputs.texts, inputs.read, wish, dockerfiles)
    found = perform(spec, plan, arguments, about)
    proof = patching.patched(found)
    show(proof, arguments)
    if arguments.verify_fix and proof.failed:
        mended = patching.mended(found)
        after = None
        if mended.texts is not None:
            read = patching.reader(mended.changed)
            after = spec_from(Project(mended.texts, read), read, wish, arguments, plan, folder / "after")
            after = with_scripts(after, mended.changed, folder / "scripts")
        proof = proven_again(proof, after, mended.applied, mended.left, plan, arguments, about)
    return exit_code(proof, arguments.max_failures)


def with_scripts(spec: LocalSpec, changed: Mapping[str, Text], folder: Path) -> LocalSpec:
    """The workload with mended start scripts in the place of those on the disk, which stay as they are."""
    from dataclasses import replace

    from lameduck.local.mounting import Mount
    from lameduck.manifests.dockerfile import is_dockerfile

    mounts = []
    for number, (path, text) in enumerate(changed.items()):
        if path == "-" or path.endswith((".yaml", ".yml", ".json")) or is_dockerfile(path):
            continue
        folder.mkdir(exist_ok=True)
        mended = folder / str(number)
        mended.write_bytes(text.content.encode())
        mended.chmod(Path(path).stat().st_mode | 0o111)
        mounts.append(Mount(str(mended), str(Path(path).resolve())))
    process = spec.process(spec.serving)
    copies = [
        Mount(mount.source, f"{each.target}/{Path(mount.target).relative_to(each.source)}")
        for mount in mounts
        for each in process.mounts
        if Path(mount.target).is_relative_to(each.source) and mount.target != each.source
    ]
    own = [each for each in process.mounts if each.source not in {mount.target for mount in mounts}]
    replaced = [
        Mount(mount.source, each.target) for mount in mounts for each in process.mounts if each.source == mount.target
    ]
    process = replace(process, mounts=(*own, *mounts, *copies, *replaced))
    return replace(spec, processes={**spec.processes, spec.serving: process})


def spec_from(
    project: Project, read: Read, wish: Wish, arguments: argparse.Namespace, plan: Plan, folder: Path
) -> LocalSpec:
    """The workload of the manifests with what the arguments say over it. Raises `UsageError`."""
    from lameduck.cli.prove_local import over
    from lameduck.local.manifest.reading import spec_of

    spec = over(spec_of(project, read, wish, plan.disruption.kind, folder), arguments, plan)
    spec.check()
    return spec


def wish_of(arguments: argparse.Namespace) -> Wish:
    """What the arguments say beside the manifests. Raises `UsageError`."""
    from lameduck.cli.prove_local import target_and_command
    from lameduck.local.manifest.chosen import Wish

    target, command = target_and_command(arguments.command)
    service, _, service_port = arguments.service.partition(":")
    dockerfiles = {}
    for each in arguments.dockerfile:
        name, equals, path = each.partition("=")
        dockerfiles[name if equals else ""] = path if equals else each
    return Wish(
        target=target,
        service=service,
        service_port=service_port,
        port=arguments.port,
        command=command,
        dockerfiles=dockerfiles,
        without=tuple(arguments.without),
        volumes=dict(_pair(each) for each in arguments.volume),
    )


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals or not value:
        raise UsageError(f"--volume wants NAME=DIR or NAME=empty, not '{text}'")
    return name, value
