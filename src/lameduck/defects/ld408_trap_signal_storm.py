"""The trap signals its own process group (LD408, trap-signal-storm).

What it finds
    kill 0 or kill -- -$$ in a handler without trap - TERM first.

Why it loses requests
    kill 0 sends the signal to the shell too: the trap triggers itself over and over.

Fix and its safety
    Safe: reset the trap first.

Evidence
    Measured in three shells.

Example
    start.sh:
        #!/bin/bash
        trap "kill 0" TERM
        gunicorn a:b &
        wait
    Dockerfile:
        FROM python:3.12-slim
        COPY start.sh /start.sh
        ENTRYPOINT ["/start.sh"]

Mended by lameduck fix
    --- a/start.sh
    +++ b/start.sh
    @@ -1,4 +1,4 @@
     #!/bin/bash
    -trap "kill 0" TERM
    +trap "trap - TERM; kill 0" TERM
     gunicorn a:b &
     wait
"""

from __future__ import annotations

from collections.abc import Iterator

from lameduck.core.finding import Defect, Edit, Finding, Fix, Safety, Severity
from lameduck.defects.lintkit import fix_of
from lameduck.defects.scriptfix import of_problem, troubled
from lameduck.manifests.chain import Problem, Trouble
from lameduck.manifests.project import Project

DEFECT = Defect(
    "LD408",
    "trap-signal-storm",
    "The trap signals its own process group",
    "kill 0 sends the signal to the shell too: the trap triggers itself over and over.",
    Severity.WARNING,
)


def lint(project: Project) -> Iterator[Finding]:
    """Handlers that signal their own group."""
    for program, problem in troubled(project, Trouble.STORM):
        message = (
            f"this handler signals its own process group: SIG{problem.signal} comes back to it over and over, "
            f"and the server's handler with it; reset the trap first"
        )
        yield of_problem(DEFECT, message, project, program, problem, _fix(problem))


def _fix(problem: Problem) -> Fix | None:
    trap = problem.trap
    if trap is None or problem.in_code:
        return None
    content = problem.text.content
    at = content.find(trap.code, trap.start, trap.end)
    if at <= trap.start or content[at - 1] not in "'\"":
        return None
    edit = Edit(at, at, f"trap - {' '.join(trap.signals)}; ")
    return fix_of("reset the trap first", Safety.SAFE, (problem.text, [edit]))
