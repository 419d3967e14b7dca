"""The trap does not forward the stop signal (LD405, trap-does-not-forward).

What it finds
    A handler that exits, only cleans up, or sends KILL; a variable that is expanded (in double quotes) before it has
    a value; SIGTERM by that name in dash, which knows it as TERM only and refuses the trap, or the kill; a kill that
    reaches a function in the background, and not the server that runs as its child.

Why it loses requests
    The handler ends the script or cleans up, and the server is killed without a word.

Fix and its safety
    Unsafe: kill -TERM the child and wait for it; the names that dash knows; exec in the function.

When not to care
    A handler that calls something that cannot be seen is not judged.

Evidence
    Measured in dash, bash and busybox ash (tests/manifests/test_pid1_table.py).

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

import re
from collections.abc import Iterator

from lameduck.core.finding import Defect, Edit, Finding, Fix, Safety, Severity
from lameduck.defects.scriptfix import forward_and_wait, of_problem, server_name, troubled, with_window
from lameduck.defects.wording import handler_text
from lameduck.manifests.chain import Problem, Trouble
from lameduck.manifests.project import Program, Project

DEFECT = Defect(
    "LD405",
    "trap-does-not-forward",
    "The trap does not forward the stop signal",
    "The handler ends the script or cleans up, and the server is killed without a word.",
    Severity.ERROR,
)


def lint(project: Project) -> Iterator[Finding]:
    """Handlers that leave the server alone."""
    for program, problem in troubled(project, Trouble.NOT_FORWARDED):
        message = (
            f"the handler for SIG{problem.signal} {handler_text(problem)}: "
            f"{server_name(problem)} is never told to stop and is killed"
        )
        yield of_problem(DEFECT, message, project, program, problem, _fix(project, program, problem))


def _fix(project: Project, program: Program, problem: Problem) -> Fix | None:
    """The names that dash knows, or exec in the function; else the wait loop is shown."""
    ending, text = problem.ending, problem.text
    if ending is not None and ending.child and text.content.startswith(ending.argv[0], ending.word_start):
        edits = [Edit(ending.word_start, ending.word_start, "exec ")]
        return with_window(project, program, f"exec {server_name(problem)}", text, edits, Safety.UNSAFE)
    if problem.shell == "dash" and problem.note and not problem.in_code:
        edits = [
            Edit(line.start() + name.start(), line.start() + name.end(), "")
            for line in re.finditer(r"^[^#\n]*?\b(?:trap|kill)\b[^\n]*", text.content, re.MULTILINE)
            for name in re.finditer(r"\bSIG(?=[A-Z])", line[0])
        ]
        return with_window(project, program, "signal names that dash knows", text, edits, Safety.UNSAFE)
    return forward_and_wait(problem)
