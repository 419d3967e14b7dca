"""Liveness and readiness probe are the same (LD302, liveness-equals-readiness).

What it finds
    The same action and thresholds in both probes.

Why it loses requests
    Overload then turns into a restart of pods with requests in flight.

Fix and its safety
    None.
"""

from __future__ import annotations

from collections.abc import Iterator

from lameduck.core.finding import Confidence, Defect, Finding, Severity
from lameduck.defects.lintkit import finding, served, who
from lameduck.manifests.project import Project

DEFECT = Defect(
    "LD302",
    "liveness-equals-readiness",
    "Liveness and readiness probe are the same",
    "Overload then turns into a restart of pods with requests in flight.",
    Severity.WARNING,
)


def lint(project: Project) -> Iterator[Finding]:
    """Probes that are the same in every respect."""
    for one in served(project):
        live, ready = one.container.node["livenessProbe"], one.container.node["readinessProbe"]
        if not live.keys() or live.data != ready.data or live["tcpSocket"]:
            continue
        message = (
            f"{who(one.workload, one.container)}: overload fails both "
            "probes, and liveness then restarts it with requests in flight"
        )
        yield finding(DEFECT, message, live.key_span, Confidence.POSSIBLE, severity=Severity.WARNING)
