"""The stop signal is ignored, and the server inherits that (LD406, sigterm-ignored).

What it finds
    trap '' TERM before the server starts.

Why it loses requests
    An ignored signal stays ignored across exec: nothing stops before SIGKILL.

Fix and its safety
    Safe: remove the line.

When not to care
    A server that sets a handler of its own for the signal takes it back (Python's signal module does; a shell may not,
    and the JVM does not).

Evidence
    POSIX, exec: ignored signals stay ignored.

Example
    start.sh:
        #!/bin/bash
        trap "" TERM
        exec gunicorn a:b
    Dockerfile:
        FROM python:3.12-slim
        COPY start.sh /start.sh
        ENTRYPOINT ["/start.sh"]

Mended by lameduck fix
    --- a/start.sh
    +++ b/start.sh
    @@ -1,3 +1,2 @@
     #!/bin/bash
    -trap "" TERM
     exec gunicorn a:b
"""

from __future__ import annotations

from collections.abc import Iterator

from lameduck.core.finding import Defect, Edit, Finding, Fix, Safety, Severity
from lameduck.defects.lintkit import fix_of
from lameduck.defects.scriptfix import of_problem, server_name, troubled
from lameduck.manifests.chain import Problem, Trouble
from lameduck.manifests.endings import Way
from lameduck.manifests.project import Project

DEFECT = Defect(
    "LD406",
    "sigterm-ignored",
    "The stop signal is ignored, and the server inherits that",
    "An ignored signal stays ignored across exec: nothing stops before SIGKILL.",
    Severity.ERROR,
)


def lint(project: Project) -> Iterator[Finding]:
    """Traps that ignore the stop signal."""
    for program, problem in troubled(project, Trouble.IGNORED):
        execs = problem.ending is not None and problem.ending.way is Way.EXEC
        unless = "unless it sets a handler of its own, " if execs else ""
        message = (
            f"SIG{problem.signal} is ignored from here on, and "
            f"{server_name(problem)} inherits that: {unless}only SIGKILL ends it"
        )
        yield of_problem(DEFECT, message, project, program, problem, _fix(problem))


def _fix(problem: Problem) -> Fix | None:
    text = problem.text
    start, end = text.line_start(problem.start), text.line_end(problem.end)
    whole_line = not text.content[start : problem.start].strip() and not text.content[problem.end : end].strip()
    if not whole_line or problem.in_code:
        return None
    newline = text.content.find("\n", end)
    edit = Edit(start, len(text.content) if newline < 0 else newline + 1, "")
    return fix_of("remove the trap", Safety.SAFE, (text, [edit]))
