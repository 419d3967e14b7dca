"""The server runs in a pipeline (LD407, pipe-hides-app).

What it finds
    server | tee file, also with exec, also in the background.

Why it loses requests
    A pipeline is run by children: the shell stays PID 1, exec or not, and swallows the signal; $! is the pid of the
    last command.

Fix and its safety
    Unsafe: log to standard output; in bash exec server > >(tee file).

Evidence
    Measured in three shells.

Example
    start.sh:
        #!/bin/bash
        exec gunicorn a:b | tee /log
    Dockerfile:
        FROM python:3.12-slim
        COPY start.sh /start.sh
        ENTRYPOINT ["/start.sh"]

Mended by lameduck fix
    --- a/start.sh
    +++ b/start.sh
    @@ -1,2 +1,2 @@
     #!/bin/bash
    -exec gunicorn a:b | tee /log
    +exec gunicorn a:b > >(tee /log)
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from lameduck.core.finding import Defect, Edit, Finding, Fix, Safety, Severity
from lameduck.defects.lintkit import advice
from lameduck.defects.scriptfix import of_problem, server_name, troubled, with_window
from lameduck.manifests.chain import Problem, Trouble
from lameduck.manifests.project import Program, Project
from lameduck.manifests.shell import Kind

DEFECT = Defect(
    "LD407",
    "pipe-hides-app",
    "The server runs in a pipeline",
    "A pipeline is run by children: the shell stays PID 1, exec or not, and swallows the signal; $! is the pid "
    "of the last command.",
    Severity.ERROR,
)


def lint(project: Project) -> Iterator[Finding]:
    """Servers in pipelines."""
    for program, problem in troubled(project, Trouble.PIPE):
        message = (
            f"{server_name(problem)} runs in a pipeline: the shell stays in front of it, with or without exec, "
            f"and does not pass SIG{problem.signal} on"
        )
        yield of_problem(DEFECT, message, project, program, problem, _fix(project, program, problem))


def _fix(project: Project, program: Program, problem: Problem) -> Fix | None:
    """bash: the second half of a simple pipeline becomes a process substitution."""
    hint = advice(
        "log to standard output", "exec SERVER ARGUMENTS   # no pipe: the node's log collector keeps standard output\n"
    )
    statement = problem.ending.statement if problem.ending else None
    if problem.shell != "bash" or problem.in_code or statement is None or statement.kind is not Kind.PIPELINE:
        return hint
    left, *rest = statement.body
    if len(rest) != 1 or left.kind is not Kind.COMMAND or rest[0].kind is not Kind.COMMAND or statement.background:
        return hint
    if problem.ending is not None and problem.ending.after:
        return hint
    content = problem.text.content
    second, end = content[rest[0].start : rest[0].end], left.end
    both = "|&" in content[left.end : rest[0].start]
    if match := re.search(r"\s*2>&1\s*\Z", content[left.start : left.end]):  # it must come behind the new target
        both, end = True, left.start + match.start()
    edits = [Edit(end, rest[0].end, f" > >({second}){' 2>&1' if both else ''}")]
    if left.words[:1] != ("exec",):
        edits.append(Edit(left.word_start, left.word_start, "exec "))
    return with_window(project, program, "exec with a process substitution", problem.text, edits, Safety.UNSAFE)
