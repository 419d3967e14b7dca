"""A trap that cannot run while the server is in the foreground (LD403, trap-waits-for-foreground).

What it finds
    A trap for the stop signal while the server runs in the foreground.

Why it loses requests
    The shell runs a trap only after its foreground child ends, so the signal waits for the server to end by itself.

Fix and its safety
    Unsafe: drop the trap and exec, or the proven wait loop.

Evidence
    POSIX, trap: executed after the foreground command. Measured in three shells.

Example
    start.sh:
        #!/bin/bash
        trap "echo bye" TERM
        gunicorn a:b
    Dockerfile:
        FROM python:3.12-slim
        COPY start.sh /start.sh
        ENTRYPOINT ["/start.sh"]
"""

from __future__ import annotations

from collections.abc import Iterator

from lameduck.core.finding import Defect, Finding, Severity
from lameduck.defects.scriptfix import forward_and_wait, of_problem, server_name, troubled
from lameduck.manifests.chain import Trouble
from lameduck.manifests.project import Project

DEFECT = Defect(
    "LD403",
    "trap-waits-for-foreground",
    "A trap that cannot run while the server is in the foreground",
    "The shell runs a trap only after its foreground child ends, so the signal waits for the server to end by itself.",
    Severity.ERROR,
)


def lint(project: Project) -> Iterator[Finding]:
    """Traps that have to wait for a foreground server."""
    for program, problem in troubled(project, Trouble.TRAP_FOREGROUND):
        message = (
            f"{server_name(problem)} runs in the foreground: the trap for SIG{problem.signal} runs only "
            f"after it has ended, so nothing is forwarded and SIGKILL ends it"
        )
        yield of_problem(
            DEFECT,
            message,
            project,
            program,
            problem,
            forward_and_wait(problem, "run it in the background, forward the signal and wait"),
        )
