"""The trap does not forward the stop signal (LD405, trap-does-not-forward).

What it finds
    A handler that exits, only cleans up, or sends KILL.

Why it loses requests
    The handler ends the script or cleans up, and the server is killed without a word.

Fix and its safety
    Unsafe: kill -TERM the child and wait for it.

When not to care
    A handler that calls something that cannot be seen is not judged.

Evidence
    Measured in three shells.

Example
    start.sh:
        #!/bin/bash
        trap "exit 0" TERM INT
        gunicorn a:b &
        wait
    Dockerfile:
        FROM python:3.12-slim
        COPY start.sh /start.sh
        ENTRYPOINT ["/start.sh"]
"""

from __future__ import annotations

from collections.abc import Iterator

from lameduck.core.finding import Defect, Finding, Severity
from lameduck.defects.lintkit import advice, finding, starting
from lameduck.defects.scriptfix import server_name, severity_of
from lameduck.defects.snippets import WAIT_LOOP
from lameduck.defects.wording import handler_text
from lameduck.manifests.chain import Trouble
from lameduck.manifests.project import Project

DEFECT = Defect(
    "LD405",
    "trap-does-not-forward",
    "The trap does not forward the stop signal",
    "The handler ends the script or cleans up, and the server is killed without a word.",
    Severity.ERROR,
)


def lint(project: Project) -> Iterator[Finding]:
    """Handlers that leave the server alone."""
    for program in starting(project):
        for problem in program.chain.problems:
            if problem.trouble is not Trouble.NOT_FORWARDED:
                continue
            message = (
                f"the handler for SIG{problem.signal} {handler_text(problem)}: "
                f"{server_name(problem)} is never told to stop and is killed"
            )
            yield finding(
                DEFECT,
                message,
                problem.text.span(problem.start, problem.end),
                problem.confidence,
                severity=severity_of(program, project),
                fix=advice("forward the signal and wait until the server has ended", WAIT_LOOP),
            )
