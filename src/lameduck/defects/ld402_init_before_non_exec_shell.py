"""An init in front of a script that does not exec (LD402, init-before-non-exec-shell).

What it finds
    tini, dumb-init, catatonit or docker-init before a shell that runs the server as a child.

Why it loses requests
    tini or dumb-init pass SIGTERM to the shell, which is not PID 1 any more and dies at once; the init follows, and
    the kernel kills the server undrained. Faster, and worse, than without the init.

Fix and its safety
    exec before the server; an init does not replace it.

When not to care
    lameduck-pod run tells what the shell leaves behind to stop, and waits for it.

Evidence
    Measured with tini 0.19 (also -g) and dumb-init 1.2.5: the container ends after 0.1 s. Below lameduck-pod run the
    server drains (tests/manifests/test_pid1_table.py).

Example
    start.sh:
        #!/bin/bash
        gunicorn app:app
    Dockerfile:
        FROM python:3.12-slim
        COPY start.sh /start.sh
        ENTRYPOINT ["/sbin/tini","-g","--","/start.sh"]

Mended by lameduck fix
    --- a/start.sh
    +++ b/start.sh
    @@ -1,2 +1,2 @@
     #!/bin/bash
    -gunicorn app:app
    +exec gunicorn app:app
"""

from __future__ import annotations

from collections.abc import Iterator

from lameduck.core.finding import Defect, Finding, Severity
from lameduck.defects.scriptfix import exec_or_loop, of_problem, server_name, troubled
from lameduck.manifests.chain import Trouble
from lameduck.manifests.project import Project

DEFECT = Defect(
    "LD402",
    "init-before-non-exec-shell",
    "An init in front of a script that does not exec",
    "tini or dumb-init pass SIGTERM to the shell, which is not PID 1 any more and dies at once; the init "
    "follows, and the kernel kills the server undrained. Faster, and worse, than without the init.",
    Severity.ERROR,
)


def lint(project: Project) -> Iterator[Finding]:
    """Inits that stand before a shell that stays."""
    for program, problem in troubled(project, Trouble.INIT_SHELL):
        message = (
            f"{problem.init} does not help here: it passes SIG{problem.signal} to the shell only, "
            f"which dies at once, and the container ends with {server_name(problem)} undrained; "
            f"the shell must exec {server_name(problem)}"
        )
        yield of_problem(DEFECT, message, project, program, problem, exec_or_loop(project, program, problem))
