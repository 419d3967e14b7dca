"""The shell form puts a shell in front of the server (LD501, shell-form-entrypoint).

What it finds
    ENTRYPOINT or CMD as a plain string, or sh -c in an exec form or a manifest's command.

Why it loses requests
    /bin/sh -c stays PID 1 in dash and does not forward SIGTERM; in busybox ash and bash it replaces itself, so the
    same line works or fails with the base image.

Fix and its safety
    Safe: the JSON form where no shell syntax is needed; else exec in front (unsafe).

When not to care
    HEALTHCHECK and RUN are not judged.

Evidence
    Measured: sh -c in dash never replaces itself; ash and bash do for the last simple command.

Example
    Dockerfile:
        FROM node:20-slim
        CMD yarn start

Mended by lameduck fix
    --- a/Dockerfile
    +++ b/Dockerfile
    @@ -1,2 +1,2 @@
     FROM node:20-slim
    -CMD yarn start
    +CMD ["yarn", "start"]
"""

from __future__ import annotations

from collections.abc import Iterator

from lameduck.core.finding import Defect, Finding, Severity
from lameduck.defects.ld502_json_form_broken import broken
from lameduck.defects.lintkit import finding
from lameduck.defects.scriptfix import severity_of, troubled
from lameduck.defects.wording import json_or_exec, shell_form
from lameduck.manifests.chain import Trouble
from lameduck.manifests.project import Project

DEFECT = Defect(
    "LD501",
    "shell-form-entrypoint",
    "The shell form puts a shell in front of the server",
    "/bin/sh -c stays PID 1 in dash and does not forward SIGTERM; in busybox ash and bash it replaces itself, "
    "so the same line works or fails with the base image.",
    Severity.ERROR,
)


def lint(project: Project) -> Iterator[Finding]:
    """Shell forms, and sh -c in exec forms and manifests."""
    for program, problem in troubled(project, Trouble.SHELL_FORM):
        instruction = program.launch.instruction
        if instruction is not None and program.launch.code_form == "shell" and broken(instruction):
            continue  # LD502 says why it is a shell form at all
        severity = severity_of(program, project) if problem.replaced is False else Severity.INFO
        place = problem.text.span(problem.start, problem.end)
        fix = json_or_exec(project, program, problem)
        yield finding(DEFECT, shell_form(problem), place, problem.confidence, severity=severity, fix=fix)
