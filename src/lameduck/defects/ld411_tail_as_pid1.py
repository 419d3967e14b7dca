"""tail keeps the container alive (LD411, tail-as-pid1).

What it finds
    A daemonised or background server followed by tail -f, sleep infinity or an endless loop of sleeps; a web server in
    the background of a worker (celery, sidekiq).

Why it loses requests
    The server runs as a daemon beside it; the stop signal ends tail (or is ignored), never the server.

Fix and its safety
    By hand: the server in the foreground with exec, and what runs beside it in a container of its own.

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

from lameduck.core.finding import Defect, Finding, Fix, Severity
from lameduck.defects.lintkit import advice
from lameduck.defects.scriptfix import of_problem, server_name, troubled
from lameduck.manifests.chain import Problem, Trouble
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
        name = server_name(problem)
        message = (
            f"this keeps the container alive while {name} runs beside it: "
            f"SIG{problem.signal} never reaches {name}, which is killed"
        )
        yield of_problem(DEFECT, message, project, program, problem, _advice(problem))


def _advice(problem: Problem) -> Fix:
    """The server alone, in the foreground; a worker beside it gets a container of its own."""
    words = " ".join(problem.argv) if problem.argv and "$" not in problem.argv[0] else "SERVER ARGUMENTS"
    return advice("the server in the foreground, and what runs beside it in a container of its own", f"exec {words}\n")
