"""The preStop delay is shorter than the path needs (LD109, delay-shorter-than-path).

What it finds
    A preStop sleep below the deregistration time of the configured path (in-cluster, ingress-nginx, aws-alb,
    aws-nlb, gke-neg …).

Why it loses requests
    Load balancers deregister a target after tens of seconds; until then they send new connections to a pod that has
    stopped.

Fix and its safety
    Unsafe: the path's seconds, with the grace period raised in the same edit.

When not to care
    A path that lameduck measured to be faster: lameduck prove.

Evidence
    kubernetes-sigs/aws-load-balancer-controller issues 1064, 2106, 2366.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from lameduck.core.finding import Defect, Edit, Finding, Fix, Safety, Severity
from lameduck.defects.lintkit import Served, delay_wanted, finding, fix_of, grace_edits, served, tried, who
from lameduck.defects.snippets import drain_window
from lameduck.manifests.hooks import HookKind, hook_of
from lameduck.manifests.project import Project
from lameduck.manifests.splice import put

DEFECT = Defect(
    "LD109",
    "delay-shorter-than-path",
    "The preStop delay is shorter than the path needs",
    "Load balancers deregister a target after tens of seconds; until then they send new connections to a pod "
    "that has stopped.",
    Severity.WARNING,
)


def proof_fix(facts: Mapping[str, Any]) -> Fix | None:
    """A longer preStop sleep with the grace that fits; facts: ``pre_stop_seconds``, ``grace_seconds`` (int, s)."""
    return drain_window(facts, Safety.UNSAFE)


def lint(project: Project) -> Iterator[Finding]:
    """Delays that are shorter than the configured path needs."""
    wanted, path = delay_wanted(project), project.settings.path
    if path == "in-cluster" and project.settings.pre_stop_seconds is None:
        return
    for one in served(project):
        hook = hook_of(one.container)
        if hook.kind is HookKind.NONE or hook.broken or not hook.delay or hook.delay >= wanted:
            continue

        def make(one: Served = one, native: bool = hook.kind is HookKind.SLEEP) -> Fix | None:
            if not native:
                return None
            edits: list[Edit] = put(one.container.node, ("lifecycle", "preStop", "sleep", "seconds"), wanted)
            edits += grace_edits(project, one.workload, one.container, wanted)
            return fix_of(f"wait {wanted} s", Safety.UNSAFE, (one.container.node.text, edits))

        message = (
            f"{who(one.workload, one.container)}: preStop waits "
            f"{hook.delay:g} s, and {path} needs {wanted} s to stop sending"
        )
        yield finding(DEFECT, message, one.container.pre_stop.key_span, one.confidence, fix=tried(make))
