"""The stop signal ends at a shell (LD401, shell-swallows-sigterm).

What it finds
    A start script, or sh -c, as PID 1 that runs the server in the foreground (or in the background without a trap).

Why it loses requests
    PID 1 is a shell that runs the server as a child. A PID 1 without a handler ignores SIGTERM, so the server never
    hears of it and is killed at the end of the grace period.

Fix and its safety
    exec before the server, together with a preStop delay: safe where the same input shows a drain window or the
    same fix adds one, else unsafe, since a signal that arrives at once without a drain window loses more.

When not to care
    The shell replaces itself (busybox ash and bash with sh -c). Commands after the server would no longer run after
    exec: then the wait loop.

Evidence
    Measured in PID namespaces with dash 0.5.12, bash 5.2.15 and busybox 1.35.

Example
    Dockerfile:
        FROM debian:12
        COPY <<EOF /e.sh
        #!/bin/sh
        nginx -t
        gunicorn a:b
        EOF
        ENTRYPOINT ["/e.sh"]

Mended by lameduck fix
    --- a/Dockerfile
    +++ b/Dockerfile
    @@ -2,6 +2,6 @@
     COPY <<EOF /e.sh
     #!/bin/sh
     nginx -t
    -gunicorn a:b
    +exec gunicorn a:b
     EOF
     ENTRYPOINT ["/e.sh"]
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from lameduck.core.finding import Defect, Edit, Finding, Fix, Safety, Severity
from lameduck.defects.scriptfix import exec_or_loop, forward_and_wait, of_problem, troubled, with_window
from lameduck.defects.snippets import EXEC, script_and_window
from lameduck.defects.wording import swallowed
from lameduck.manifests.chain import Problem, Trouble
from lameduck.manifests.endings import Way
from lameduck.manifests.project import Program, Project
from lameduck.manifests.shell import Kind

DEFECT = Defect(
    "LD401",
    "shell-swallows-sigterm",
    "The stop signal ends at a shell",
    "PID 1 is a shell that runs the server as a child. A PID 1 without a handler ignores SIGTERM, so the server "
    "never hears of it and is killed at the end of the grace period.",
    Severity.ERROR,
)


def proof_fix(facts: Mapping[str, Any]) -> Fix | None:
    """exec in the start script together with the drain window; facts: as LD101, and ``shell``."""
    return script_and_window(EXEC, "exec the server, and wait before the stop signal", facts)


def lint(project: Project) -> Iterator[Finding]:
    """Scripts that run the server as a child of PID 1."""
    for program, problem in troubled(project, Trouble.SWALLOWED):
        message = swallowed(problem)
        yield of_problem(DEFECT, message, project, program, problem, _fix(project, program, problem))


def _fix(project: Project, program: Program, problem: Problem) -> Fix | None:
    ending = problem.ending
    if ending is not None and ending.way is Way.WAIT:
        return _foreground(project, program, problem)
    return exec_or_loop(project, program, problem)


def _foreground(project: Project, program: Program, problem: Problem) -> Fix | None:
    """``server & wait`` becomes ``exec server`` where nothing else stands between or behind."""
    ending, text = problem.ending, problem.text
    if ending is None or ending.statement is None or ending.statement.kind is not Kind.COMMAND or not ending.waits:
        return forward_and_wait(problem)
    if ending.company:  # exec would tell one of them
        return forward_and_wait(problem)
    wait, content = ending.waits[-1], text.content
    between = content[ending.end : wait.start]
    head = content[ending.start : ending.end]
    alone = not content[text.line_start(wait.start) : wait.start].strip()
    if between.strip() or content[wait.end :].strip() or not head.endswith("&") or not alone or problem.in_code:
        return forward_and_wait(problem)
    edits = [Edit(ending.start + len(head[:-1].rstrip()), wait.end, "")]
    if ending.statement.words[0] != "exec":
        edits.append(Edit(ending.word_start, ending.word_start, "exec "))
    return with_window(project, program, "exec in the foreground", text, edits, Safety.UNSAFE)
