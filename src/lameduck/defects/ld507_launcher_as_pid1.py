"""A development launcher is PID 1 (LD507, launcher-as-pid1).

What it finds
    npm, npx, yarn, pnpm, go run, nodemon, pm2-runtime, reload modes.

Why it loses requests
    It does not pass the stop signal on, or kills the server during its drain.

Fix and its safety
    Unsafe: the program itself in exec form.

When not to care
    npm drains where its script shell is bash or ash (Alpine).

Evidence
    Measured with npm 11, yarn 1.22, pnpm 12, pm2 7.

Example
    Dockerfile:
        FROM node:20-slim
        CMD ["npm","start"]
"""

from __future__ import annotations

from collections.abc import Iterator

from lameduck.core.finding import Confidence, Defect, Finding, Severity
from lameduck.defects.lintkit import finding, starting
from lameduck.defects.scriptfix import severity_of
from lameduck.defects.wording import launcher_fix
from lameduck.manifests.chain import Trouble
from lameduck.manifests.project import Project

DEFECT = Defect(
    "LD507",
    "launcher-as-pid1",
    "A development launcher is PID 1",
    "It does not pass the stop signal on, or kills the server during its drain.",
    Severity.ERROR,
)


_RELOADING = frozenset({"uvicorn", "gunicorn", "hypercorn", "granian"})


def lint(project: Project) -> Iterator[Finding]:
    """Launchers as PID 1."""
    for program in starting(project):
        for problem in program.chain.problems:
            if problem.trouble is not Trouble.LAUNCHER:
                continue
            message = f"{' '.join(problem.argv[:3])} stands in front of the server: {problem.note}"
            yield finding(
                DEFECT,
                message,
                problem.text.span(problem.start, problem.end),
                problem.confidence,
                severity=Severity.WARNING if problem.replaced else severity_of(program, project),
                fix=launcher_fix(project, program, problem),
            )
        server, at = program.chain.server, program.chain.server_at
        if (
            server is not None
            and at is not None
            and server.name in _RELOADING
            and "--reload" in program.chain.server_argv
        ):
            text, start, end = at
            message = (
                f"{server.name} --reload watches files and restarts its worker: a development mode, not one that drains"
            )
            yield finding(DEFECT, message, text.span(start, end), Confidence.LIKELY, severity=Severity.WARNING)
