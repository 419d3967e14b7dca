"""A manifest's workload as a `LocalSpec`: everything that was chosen, put together.

Law: absent fields get the API's own defaults, never lameduck's; a Deployment without a readiness probe has none here
either, since that is one of the things a proof is to show.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lameduck.core.budget import Budget, scaled
from lameduck.core.errors import UsageError
from lameduck.core.instants import SECOND
from lameduck.core.plan import Disruption
from lameduck.core.podspec import ContainerSpec, Role
from lameduck.local.manifest import image
from lameduck.local.manifest.chosen import Chosen, Wish, choose, place, readable, titled
from lameduck.local.manifest.containers import Reading, Say, variables
from lameduck.local.manifest.ignored import listed
from lameduck.local.manifest.volumes import Volumes
from lameduck.local.podplan import Process
from lameduck.local.spec import LocalSpec
from lameduck.manifests.imagefiles import Read
from lameduck.manifests.project import Project
from lameduck.manifests.workloads import Container, ContainerKind, Workload
from lameduck.manifests.yamlnode import Node

_ROLES = {ContainerKind.MAIN: Role.MAIN, ContainerKind.INIT: Role.INIT, ContainerKind.SIDECAR: Role.SIDECAR}


def spec_of(project: Project, read: Read, wish: Wish, disruption: Disruption, folder: Path) -> LocalSpec:
    """What the manifests say is to run; files that containers want are written below `folder`.

    Raises `UsageError` for what cannot be proven as it stands, with its place and what to do.
    """
    readable(project)
    chosen = choose(project, wish)
    _refuse(chosen.workload, disruption)
    notes: list[str] = []
    containers, processes = _containers(project, chosen, wish, _Around(read, folder, notes.append))
    workload = chosen.workload
    return LocalSpec(
        command=wish.command,
        replicas=_replicas(project, workload),
        port=chosen.target,
        grace=_seconds(workload.pod["terminationGracePeriodSeconds"], 30),
        name=workload.object.name or "app",
        kind=workload.kind,  # type: ignore[arg-type]
        containers=containers,
        processes=processes,
        serving=chosen.serving.name,
        share_processes=bool(workload.pod["shareProcessNamespace"].boolean),
        publish_not_ready=bool(
            chosen.service and chosen.service.object.node.at("spec", "publishNotReadyAddresses").boolean
        ),
        headless=bool(chosen.service and chosen.service.headless),
        budget=_budget(project, workload),
        labels=workload.labels,
        namespace=workload.object.namespace or "default",
        min_ready_seconds=workload.spec["minReadySeconds"].integer or 0,
        progress_deadline=_seconds(workload.spec["progressDeadlineSeconds"], 600),
        ignored=(*dict.fromkeys(notes), *listed(project, chosen, wish.without)),
        **_update(workload),  # type: ignore[arg-type]
    )


@dataclass(frozen=True, slots=True)
class _Around:
    """Where files come from and go to, and who hears what is followed only in part."""

    read: Read
    folder: Path
    say: Say


def _containers(
    project: Project, chosen: Chosen, wish: Wish, around: _Around
) -> tuple[tuple[ContainerSpec, ...], dict[str, Process]]:
    workload, say = chosen.workload, around.say
    every = (*workload.init, *workload.containers)
    unknown = [name for name in wish.without if name not in {one.name for one in every}]
    if unknown or chosen.serving.name in wish.without:
        name = unknown[0] if unknown else chosen.serving.name
        why = "has no such container" if unknown else "is served by it"
        raise UsageError(f"--without {name}: {titled(workload)} {why}")
    volumes = Volumes(project, workload, wish, around.folder)
    specs: list[ContainerSpec] = []
    processes: dict[str, Process] = {}
    for one in every:
        if one.name in wish.without:
            continue
        serves = one.name == chosen.serving.name
        named = wish.dockerfiles.get(one.name) or (wish.dockerfiles.get("") if serves else None)
        made = image.of(one, workload, image.read(named, around.read) if named else None, say)
        command = wish.command if serves and wish.command else made.command
        if not command:
            raise UsageError(_no_command(one, serves))
        mounts, empty = volumes.mounts(one)
        environment = (*made.variables, *variables(one, workload, project, say))
        working = one.node["workingDir"].string or made.folder
        inside = {each.target for each in (*made.mounts, *mounts)} | set(empty)
        there = any(_below(working, target) or _below(target, working) for target in inside)
        if working and not there and not Path(working).is_dir():
            if working != made.folder:
                raise UsageError(
                    f"{place(one.node)}: container {one.name} works in {working}, which is not on this machine: "
                    f"no image runs here; put it there, or say what it is with --dockerfile"
                )
            empty = {**empty, working: "workdir"}  # WORKDIR makes it
        processes[one.name] = Process(command, environment, working, (*made.mounts, *mounts), empty)
        specs.append(_spec(Reading(one, chosen.target, say), made.stop_signal, workload.pod["os"]["name"].string))
    return tuple(specs), processes


def _below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(f"{folder.rstrip('/')}/")


def _spec(reading: Reading, images_signal: int, system: str | None) -> ContainerSpec:
    one = reading.container
    return ContainerSpec(
        one.name,
        _ROLES[one.kind],
        readiness=reading.probe("readinessProbe"),
        liveness=reading.probe("livenessProbe"),
        startup=reading.probe("startupProbe"),
        post_start=reading.hook("postStart"),
        pre_stop=reading.hook("preStop"),
        stop_signal=reading.stop_signal(images_signal, system),
    )


def _no_command(one: Container, serves: bool) -> str:
    image_name = f" ({one.image})" if one.image else ""
    what = f"{place(one.node)}: what does container {one.name}{image_name} run? No image runs here: "
    if serves:
        return f"{what}give its command in the manifest, its image's --dockerfile, or the command itself after --"
    return f"{what}give its command in the manifest, or --dockerfile {one.name}=FILE, or leave it --without {one.name}"


def _refuse(workload: Workload, disruption: Disruption) -> None:
    """What no rollout would come of."""
    if disruption is not Disruption.ROLLOUT:
        return
    paused = workload.spec["paused"]
    if workload.kind == "Deployment" and paused.boolean:
        raise UsageError(
            f"{place(paused)}: {titled(workload)} is paused, so nothing is rolled: kubectl rollout resume it and take "
            "this line out, or prove another --disrupt"
        )
    update = workload.spec["updateStrategy"]["type"]
    if update.string == "OnDelete":
        raise UsageError(
            f"{place(update)}: {titled(workload)} is updated OnDelete only: prove it with --disrupt delete"
        )


def _replicas(project: Project, workload: Workload) -> int:
    if workload.kind == "DaemonSet":
        return 1
    node = workload.spec["replicas"]
    if node.integer is not None:
        return node.integer
    if node and not node.is_null:
        raise UsageError(f"{place(node)}: replicas is a whole number, not {node.string}")
    autoscaler = project.cluster.autoscaler_of(workload)
    least = autoscaler.node["spec"] if autoscaler else None
    found = (least["minReplicas"].integer or least["minReplicaCount"].integer) if least else None
    return found or 1


def _seconds(node: Node, default: int) -> int:
    if not node or node.is_null:
        return default * SECOND
    if node.integer is None or node.integer < 0:
        raise UsageError(f"{place(node)}: this is a whole number of seconds, not {node.string}")
    return node.integer * SECOND


def _amount(node: Node, default: int | str) -> int | str:
    if not node or node.is_null:
        return default
    if node.integer is not None:
        return node.integer
    text = node.string or ""
    if not text.removesuffix("%").isdigit():
        raise UsageError(f"{place(node)}: this is a number of pods or a percentage like 25%, not {text or 'this'}")
    return text if text.endswith("%") else int(text)


def _update(workload: Workload) -> dict[str, object]:
    """How it is updated, as fields of `LocalSpec`."""
    if workload.kind == "StatefulSet":
        rolling = workload.spec["updateStrategy"]["rollingUpdate"]
        parallel = workload.spec["podManagementPolicy"].string == "Parallel"
        return {"partition": rolling["partition"].integer or 0, "parallel": parallel}
    if workload.kind == "DaemonSet":
        rolling = workload.spec["updateStrategy"]["rollingUpdate"]
        surge = scaled(_amount(rolling["maxSurge"], 0), 1)
        return {"max_surge": 1 if surge else 0, "max_unavailable": 0 if surge else 1, "recreate": not surge}
    strategy = workload.spec["strategy"]
    rolling = strategy["rollingUpdate"]
    return {
        "max_surge": _amount(rolling["maxSurge"], "25%"),
        "max_unavailable": _amount(rolling["maxUnavailable"], "25%"),
        "recreate": strategy["type"].string == "Recreate",
    }


def _budget(project: Project, workload: Workload) -> Budget | None:
    budgets = project.cluster.budgets_of(workload)
    if not budgets:
        return None
    if len(budgets) > 1:
        names = " and ".join(one.name for one in budgets)
        raise UsageError(f"{names} both select the pods of {titled(workload)}: the API refuses an eviction then")
    spec = budgets[0].node["spec"]
    least, most = spec["minAvailable"], spec["maxUnavailable"]
    return Budget(
        budgets[0].name,
        _amount(least, 0) if least else None,
        _amount(most, 0) if most else None,
    )
