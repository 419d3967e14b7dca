"""The server waits for ever (LD802, drain-unbounded).

What it finds
    uvicorn without --timeout-graceful-shutdown.

Why it loses requests
    One stuck stream uses the whole grace period.

Fix and its safety
    Safe: the flag.

Example
    Dockerfile:
        FROM python:3.12-slim
        CMD ["uvicorn", "app:app"]
"""

from __future__ import annotations

from collections.abc import Iterator

from lameduck.core.finding import Confidence, Defect, Finding, Severity
from lameduck.defects.lintkit import finding, starting
from lameduck.manifests.limits import limit
from lameduck.manifests.project import Project

DEFECT = Defect(
    "LD802",
    "drain-unbounded",
    "The server waits for ever",
    "One stuck stream uses the whole grace period.",
    Severity.INFO,
)


def lint(project: Project) -> Iterator[Finding]:
    """uvicorn without a limit of its drain."""
    for program in starting(project):
        server, at = program.chain.server, program.chain.server_at
        if server is None or server.name != "uvicorn" or at is None:
            continue
        if limit(program.chain, server.drain_flags, project.read).seconds is None:
            text, start, end = at
            message = (
                "uvicorn waits without end for requests in flight: one stuck stream uses up the whole grace period"
            )
            yield finding(DEFECT, message, text.span(start, end), Confidence.POSSIBLE)
