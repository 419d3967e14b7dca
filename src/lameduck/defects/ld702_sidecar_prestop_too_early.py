"""A native sidecar's preStop stops it too early (LD702, sidecar-prestop-too-early).

What it finds
    A native sidecar whose preStop stops it (quitquitquit, -s quit, kill 1).

Why it loses requests
    All preStop hooks start at once, only the signal waits its turn.

Fix and its safety
    Unsafe: remove the hook.

Evidence
    kubelet killContainer calls the hook before waitForTurn.
"""

from __future__ import annotations

from collections.abc import Iterator

from lameduck.core.finding import Confidence, Defect, Finding, Safety, Severity
from lameduck.defects.lintkit import finding, fix_of, running, tried, who
from lameduck.manifests.hooks import hook_of
from lameduck.manifests.project import Project
from lameduck.manifests.splice import remove
from lameduck.manifests.workloads import ContainerKind

DEFECT = Defect(
    "LD702",
    "sidecar-prestop-too-early",
    "A native sidecar's preStop stops it too early",
    "All preStop hooks start at once, only the signal waits its turn.",
    Severity.ERROR,
)


def lint(project: Project) -> Iterator[Finding]:
    """Native sidecars whose hook stops them."""
    for workload, container in running(project):
        hook = hook_of(container)
        if container.kind != ContainerKind.SIDECAR or not hook.stops or hook.delay is None:
            continue
        fix = tried(
            lambda container=container: (
                fix_of(  # type: ignore[misc]
                    "remove the hook", Safety.UNSAFE, (container.node.text, remove(container.node, "lifecycle"))
                )
                if container.lifecycle.keys() == ["preStop"]
                else None
            )
        )
        message = (
            f"{who(workload, container)}: every preStop of the pod starts at once, so {hook.stops!r} stops the sidecar "
            f"while the pod's own containers still need it; only the signal waits its turn"
        )
        yield finding(DEFECT, message, container.pre_stop.key_span, Confidence.CERTAIN, fix=fix)
