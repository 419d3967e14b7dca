"""An init in front of a script that does not exec (LD402, init-before-non-exec-shell).

What it finds
    tini, dumb-init, catatonit or docker-init before a shell that runs the server as a child.

Why it loses requests
    tini or dumb-init pass SIGTERM to the shell, which is not PID 1 any more and dies at once; the init follows, and
    the kernel kills the server undrained. Faster, and worse, than without the init.

Fix and its safety
    exec before the server; an init does not replace it.

Evidence
    Measured with tini 0.19 (also -g) and dumb-init 1.2.5: the container ends after 0.1 s.
"""

from __future__ import annotations

from lameduck.core.finding import Defect, Severity

DEFECT = Defect(
    "LD402",
    "init-before-non-exec-shell",
    "An init in front of a script that does not exec",
    "tini or dumb-init pass SIGTERM to the shell, which is not PID 1 any more and dies at once; the init "
    "follows, and the kernel kills the server undrained. Faster, and worse, than without the init.",
    Severity.ERROR,
)
