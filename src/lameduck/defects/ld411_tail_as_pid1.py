"""tail keeps the container alive (LD411, tail-as-pid1).

What it finds
    A daemonised or background server followed by tail -f or sleep infinity.

Why it loses requests
    The server runs as a daemon beside it; the stop signal ends tail (or is ignored), never the server.

Fix and its safety
    None: run the server in the foreground with exec.

Example
    start.sh:
        #!/bin/bash
        service nginx start
        tail -f /var/log/nginx/access.log
    Dockerfile:
        FROM debian:12
        COPY start.sh /start.sh
        ENTRYPOINT ["/start.sh"]
"""

from __future__ import annotations

from collections.abc import Iterator

from lameduck.core.finding import Defect, Finding, Severity
from lameduck.defects.scriptfix import of_problem, troubled
from lameduck.manifests.chain import Trouble
from lameduck.manifests.project import Project

DEFECT = Defect(
    "LD411",
    "tail-as-pid1",
    "tail keeps the container alive",
    "The server runs as a daemon beside it; the stop signal ends tail (or is ignored), never the server.",
    Severity.ERROR,
)


def lint(project: Project) -> Iterator[Finding]:
    """Containers that tail keeps alive."""
    for program, problem in troubled(project, Trouble.TAIL):
        message = (
            "this keeps the container alive while the server runs "
            f"beside it: SIG{problem.signal} never reaches the server"
        )
        yield of_problem(DEFECT, message, project, program, problem)
