"""A wrapper stands between the signal and the server (LD409, wrapper-cuts-drain).

What it finds
    su -c and runuser (SIGKILL after 2 s), conda run, script, flock, xargs, time, a restart loop. Where a script uses su
    for root only, the image's USER and the pod's runAsUser decide.

Why it loses requests
    It kills the server after a fixed time, or never passes the signal on.

Fix and its safety
    Unsafe: setpriv or gosu with exec, USER in the image, the program by its path.

When not to care
    sudo, gosu, su-exec, setpriv, env, nice, timeout and stdbuf pass it on.

Evidence
    Measured with util-linux 2.38; conda/conda issue 10351.

Example
    Dockerfile:
        FROM debian:12
        CMD ["su","app","-c","java -jar /a.jar"]
"""

from __future__ import annotations

from collections.abc import Iterator

from lameduck.core.finding import Defect, Finding, Severity
from lameduck.defects.scriptfix import of_problem, troubled
from lameduck.defects.wording import wrapper_fix
from lameduck.manifests.chain import Trouble
from lameduck.manifests.project import Project

DEFECT = Defect(
    "LD409",
    "wrapper-cuts-drain",
    "A wrapper stands between the signal and the server",
    "It kills the server after a fixed time, or never passes the signal on.",
    Severity.ERROR,
)


def lint(project: Project) -> Iterator[Finding]:
    """Wrappers that cut or swallow, and restart loops."""
    for program, problem in troubled(project, Trouble.WRAPPER):
        message = f"{problem.note}: whatever the grace period says, the server is not given its time to drain"
        yield of_problem(DEFECT, message, project, program, problem, wrapper_fix(problem))
