"""One serving container of the pod has no delay (LD704, container-without-delay).

What it finds
    Two serving containers, one with a waiting preStop, one without.

Why it loses requests
    The endpoint stays routed while this one has stopped.

Fix and its safety
    Safe: the same preStop.
"""

from __future__ import annotations

from collections.abc import Iterator

from lameduck.core.finding import Confidence, Defect, Finding, Safety, Severity
from lameduck.defects.lintkit import container_place, finding, fix_of, served, tried, who, window_edits
from lameduck.manifests.hooks import hook_of
from lameduck.manifests.project import Project

DEFECT = Defect(
    "LD704",
    "container-without-delay",
    "One serving container of the pod has no delay",
    "The endpoint stays routed while this one has stopped.",
    Severity.WARNING,
)


def lint(project: Project) -> Iterator[Finding]:
    """Containers with ports beside a serving one that waits, without a delay of their own."""
    for one in served(project):
        own = hook_of(one.container)
        if not own.delays or not own.delay:
            continue
        hit = {id(each.node.raw) for each in project.serving(one.workload)}
        for other in one.workload.containers:
            if id(other.node.raw) in hit or not other.ports or other.is_proxy or other.lifecycle["preStop"]:
                continue
            fix = tried(
                lambda one=one, other=other: fix_of(  # type: ignore[misc]
                    "the same delay", Safety.SAFE, (other.node.text, window_edits(project, one.workload, other))
                )
            )
            message = f"{who(one.workload, other)}: {one.container.name} waits in preStop, this one stops at once"
            yield finding(DEFECT, message, container_place(other), Confidence.POSSIBLE, fix=fix)
