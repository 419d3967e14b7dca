"""This server has no graceful shutdown (LD803, no-graceful-shutdown).

What it finds
    daphne, waitress, flask run, manage.py runserver, http.server.

Why it loses requests
    On the stop signal it ends at once: requests in flight are cut, whatever the manifests say.

Fix and its safety
    None: another server.

Evidence
    Measured: cut at once.

Example
    Dockerfile:
        FROM python:3.12-slim
        CMD ["flask","run","--host=0.0.0.0"]
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from lameduck.core.finding import Confidence, Defect, Finding, Fix, Severity
from lameduck.defects.lintkit import finding, starting
from lameduck.manifests.project import Project

DEFECT = Defect(
    "LD803",
    "no-graceful-shutdown",
    "This server has no graceful shutdown",
    "On the stop signal it ends at once: requests in flight are cut, whatever the manifests say.",
    Severity.ERROR,
)


def proof_fix(facts: Mapping[str, Any]) -> Fix | None:  # noqa: ARG001  every proof_fix is called alike
    """None: this server has no graceful shutdown, another one is needed."""
    return None


def lint(project: Project) -> Iterator[Finding]:
    """Servers without a graceful shutdown."""
    for program in starting(project):
        server, at = program.chain.server, program.chain.server_at
        if server is None or not server.hopeless or at is None:
            continue
        text, start, end = at
        message = (
            f"{server.name} has no graceful shutdown: on the stop signal "
            "it cuts every request in flight; another server is needed"
        )
        yield finding(DEFECT, message, text.span(start, end), Confidence.CERTAIN, evidence=(server.evidence,))
