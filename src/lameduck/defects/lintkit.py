"""What the rules share: whom a rule is about, and how findings and fixes are made.

Law: rules about traffic look only at pods that serve: a Service in the input selects them (likely), or, when the
input has no Service at all, they declare a port (possible). Jobs never serve. A rule that looks for something absent
leaves patched objects alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from lameduck.core.finding import Confidence, Defect, Edit, FileSpan, Finding, Fix, Patch, Safety, Severity
from lameduck.defects.snippets import drain_sidecar
from lameduck.manifests.hooks import Hook, HookKind, hook_of
from lameduck.manifests.images import ImageFacts
from lameduck.manifests.limits import Limit, limit
from lameduck.manifests.project import PATHS, Program, Project
from lameduck.manifests.splice import Refused, put, render, step_of
from lameduck.manifests.text import Text
from lameduck.manifests.workloads import Container, ContainerKind, Workload

SLACK = 5
"""Seconds of grace beyond preStop and drain."""
UNKNOWN_DRAIN = 20
"""Seconds that a fix leaves for the drain of a server that is not known."""


@dataclass(frozen=True, slots=True)
class Served:
    """A container that gets traffic, with the reason why we say so."""

    workload: Workload
    container: Container
    by: str
    """``Service web``, or the port it declares."""
    confidence: Confidence


def served(project: Project) -> Iterator[Served]:
    """Every container that gets traffic."""
    whole = bool(project.cluster.services)
    for workload in project.workloads:
        services = project.services(workload)
        if services:
            names = ", ".join(service.name for service in services)
            # Peers, scrapers and agents find each other by headless Services: no kube-proxy is in that way.
            peers = workload.kind in {"StatefulSet", "DaemonSet"} and all(one.headless for one in services)
            sure = Confidence.POSSIBLE if peers else Confidence.LIKELY
            for container in project.serving(workload):
                if not container.is_agent:
                    yield Served(workload, container, f"Service {names}", sure)
        elif not whole:
            for container in project.has_ports(workload):
                yield Served(workload, container, f"port {container.ports[0][1]}", Confidence.POSSIBLE)


def running(project: Project) -> Iterator[tuple[Workload, Container]]:
    """Every container that runs for long: ordinary ones and native sidecars, Jobs left out."""
    for workload in project.workloads:
        if workload.is_batch:
            continue
        for container in (*workload.containers, *workload.init):
            if container.kind != ContainerKind.INIT:
                yield workload, container


def starting(project: Project) -> Iterator[Program]:
    """Every program whose stop matters: Jobs left out."""
    return (one for one in project.programs if one.workload is None or not one.workload.is_batch)


def finding(
    defect: Defect,
    message: str,
    at: FileSpan,
    confidence: Confidence = Confidence.LIKELY,
    *,
    severity: Severity | None = None,
    evidence: tuple[str, ...] = (),
    fix: Fix | None = None,
) -> Finding:
    """One finding of lint."""
    return Finding(defect, message, confidence, (at,), evidence=evidence, fix=fix, severity=severity)


def fix_of(title: str, safety: Safety, *made: tuple[Text, Iterable[Edit]]) -> Fix | None:
    """A fix of edits by file; None when there is nothing to edit."""
    edits: dict[str, tuple[Edit, ...]] = {}
    for text, changes in made:
        edits[text.path] = tuple(dict.fromkeys((*edits.get(text.path, ()), *changes)))
    patches = tuple(Patch(path, changes) for path, changes in edits.items() if changes)
    return Fix(title, safety, patches) if patches else None


def advice(title: str, snippet: str, safety: Safety = Safety.UNSAFE) -> Fix:
    """A fix that is shown and never applied."""
    return Fix(title, safety, (Patch("", snippet=snippet),))


def tried(make: Callable[[], Fix | None]) -> Fix | None:
    """A fix, or None when the edits were refused."""
    try:
        return make()
    except Refused:
        return None


def supports(project: Project, major: int, minor: int) -> bool:
    """Whether the cluster is at least of a version; an unknown one counts as recent."""
    version = project.settings.kubernetes
    return version is None or version >= (major, minor)


def image_facts(project: Project, container: Container) -> ImageFacts:
    """What is known about a container's image."""
    program = project.program_of(container)
    return program.launch.base if program else project.facts(container.image or "")


def delay_wanted(project: Project) -> int:
    """The preStop seconds to ask for."""
    settings = project.settings
    return settings.pre_stop_seconds or PATHS[settings.path].delay


def drain_of(project: Project, container: Container) -> tuple[float | None, str]:
    """The server's drain limit in seconds and where it comes from; (None, "") when unknown or unbounded."""
    program = project.program_of(container)
    server = program.chain.server if program else None
    if program is None or server is None:
        return None, ""
    given = limit(program.chain, server.drain_flags, project.read)
    if given.seconds is not None:
        return given.seconds, given.source
    if server.drain is not None and not given.unseen:
        return server.drain, f"{server.name}'s default drain of {server.drain:g} s"
    return None, ""


def written_drain(project: Project, container: Container) -> Limit:
    """The server's drain limit as somebody wrote it; without one when nobody did."""
    program = project.program_of(container)
    server = program.chain.server if program else None
    return limit(program.chain, server.drain_flags, project.read) if program and server else Limit()


def grace_needed(project: Project, container: Container, pre_stop: float) -> int:
    """The grace period that fits a preStop and the container's drain, with slack."""
    drain, _ = drain_of(project, container)
    return int(-(-(pre_stop + (drain if drain is not None else UNKNOWN_DRAIN) + SLACK) // 1))


def window_edits(project: Project, workload: Workload, container: Container) -> list[Edit]:
    """A preStop sleep and the grace period that fits it, as one set of edits. Raises `Refused`."""
    seconds = delay_wanted(project)
    hook = hook_of(container)
    if hook.delays and hook.kind is not HookKind.NONE:
        return []
    if container.lifecycle["preStop"] and not container.pre_stop.is_null and container.pre_stop.keys():
        raise Refused("it has another preStop hook already")
    if supports(project, 1, 30):
        edits = put(container.node, ("lifecycle", "preStop"), {"sleep": {"seconds": seconds}})
    elif image_facts(project, container).sleep:
        edits = put(container.node, ("lifecycle", "preStop"), {"exec": {"command": ["sleep", str(seconds)]}})
    else:
        raise Refused("this version has no preStop.sleep, and the image may have no sleep")
    return [*edits, *grace_edits(project, workload, container, seconds)]


def without_sleep(project: Project, workload: Workload, container: Container) -> Fix | None:
    """The drain sidecar, where neither the cluster nor the image can sleep; None where one can, or both may."""
    if supports(project, 1, 30) or not supports(project, 1, 29) or image_facts(project, container).sleep is not False:
        return None
    ports = sorted({number for _, number in container.ports if number is not None})
    return drain_sidecar(container.name, ports, workload.grace or 30)


def grace_edits(project: Project, workload: Workload, container: Container, pre_stop: float) -> list[Edit]:
    """Raise the grace period where a preStop and the drain do not fit; no edits where they do. Raises `Refused`."""
    needed, grace = grace_needed(project, container, pre_stop), workload.grace
    if grace is None or grace >= needed:
        return []
    return put(workload.pod, ("terminationGracePeriodSeconds",), needed)


def replace_hook(project: Project, workload: Workload, container: Container, seconds: float) -> list[Edit]:
    """Put a native sleep in the place of another preStop hook, with the grace that fits. Raises `Refused`."""
    if not supports(project, 1, 30):
        raise Refused("this version has no preStop.sleep")
    hook = container.pre_stop
    if hook.merged or container.lifecycle.merged:
        raise Refused("the hook comes through a merge key")
    whole = max(int(seconds), 1)
    edits = grace_edits(project, workload, container, whole)
    if hook.is_flow:
        return [Edit(hook.start, hook.end, f"{{sleep: {{seconds: {whole}}}}}"), *edits]
    text = hook.text
    first = hook.raw.value[0][0]
    start = int(first.start_mark.index) + hook.shift
    column = start - text.line_start(start)
    if text.content[text.line_start(start) : start].strip():
        raise Refused("the hook stands in one line with something else")
    block = render({"sleep": {"seconds": whole}}, column, step_of(text), text.eol).lstrip(" ")
    return [Edit(start, _end_of(hook.text, hook.end), block), *edits]


def _end_of(text: Text, end: int) -> int:
    while end > 0 and text.content[end - 1].isspace():
        end -= 1
    return end


def hook_place(hook: Hook, container: Container) -> FileSpan:
    """Where to point for a hook: its key, else the container's name."""
    if hook.kind is HookKind.NONE:
        return container_place(container)
    return container.pre_stop.key_span


def container_place(container: Container) -> FileSpan:
    """Where to point for what a container lacks: its name."""
    name = container.node["name"]
    return name.entry_span if name else container.node.text.span(container.node.start)


def who(workload: Workload, container: Container | None = None) -> str:
    """``Deployment web, container app``, as messages name it."""
    return workload.object.title if container is None else f"{workload.object.title}, container {container.name}"
