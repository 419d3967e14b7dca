"""The cluster is too old for preStop.sleep (LD106, sleep-action-unsupported).

What it finds
    lifecycle.preStop.sleep while the Kubernetes version asked for is 1.29 or older.

Why it loses requests
    Before 1.30 the field is unknown or its gate is off: the API drops it silently, and there is no delay.

Fix and its safety
    Unsafe: an exec sleep, where the image has one.

Evidence
    KEP-3960: alpha (off) in 1.29, beta (on) in 1.30, stable in 1.34.
"""

from __future__ import annotations

from collections.abc import Iterator

from lameduck.core.finding import Confidence, Defect, Edit, Finding, Fix, Safety, Severity
from lameduck.defects.lintkit import finding, fix_of, image_facts, running, supports, tried, who
from lameduck.manifests.hooks import HookKind, hook_of
from lameduck.manifests.project import Project
from lameduck.manifests.splice import Refused, flow
from lameduck.manifests.workloads import Container
from lameduck.manifests.yamlnode import Node

DEFECT = Defect(
    "LD106",
    "sleep-action-unsupported",
    "The cluster is too old for preStop.sleep",
    "Before 1.30 the field is unknown or its gate is off: the API drops it silently, and there is no delay.",
    Severity.ERROR,
)


def lint(project: Project) -> Iterator[Finding]:
    """Native sleeps on clusters that do not have them."""
    version = project.settings.kubernetes
    if version is None or supports(project, 1, 30):
        return
    drop = "its gate is off and the API drops it" if version == (1, 29) else "the field is unknown and the API drops it"
    for workload, container in running(project):
        hook = hook_of(container)
        if hook.kind is not HookKind.SLEEP:
            continue
        node = hook.node

        def make(node: Node = node, seconds: float = hook.delay or 5, container: Container = container) -> Fix | None:
            if not image_facts(project, container).sleep:
                raise Refused("the image may have no sleep")
            text = f"exec: {flow({'command': ['sleep', str(int(seconds))]})}"
            return fix_of("an exec sleep", Safety.UNSAFE, (node.text, [Edit(node.entry_start, _end(node), text)]))

        message = (
            f"{who(workload, container)}: Kubernetes {version[0]}.{version[1]} "
            f"has no preStop.sleep: {drop}, there is no delay"
        )
        yield finding(DEFECT, message, node.entry_span, Confidence.CERTAIN, fix=tried(make))


def _end(node: Node) -> int:
    content, end = node.text.content, node.end
    while content[end - 1].isspace():
        end -= 1
    return end
