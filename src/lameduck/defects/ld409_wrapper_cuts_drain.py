"""A wrapper stands between the signal and the server (LD409, wrapper-cuts-drain).

What it finds
    su -c and runuser (SIGKILL after 2 s), conda run, script, flock, xargs, time, a restart loop.

Why it loses requests
    It kills the server after a fixed time, or never passes the signal on.

Fix and its safety
    Unsafe: setpriv or gosu with exec, USER in the image, the program by its path.

When not to care
    sudo, gosu, su-exec, setpriv, env, nice, timeout and stdbuf pass it on.

Evidence
    Measured with util-linux 2.38; conda/conda issue 10351.
"""

from __future__ import annotations

from lameduck.core.finding import Defect, Severity

DEFECT = Defect(
    "LD409",
    "wrapper-cuts-drain",
    "A wrapper stands between the signal and the server",
    "It kills the server after a fixed time, or never passes the signal on.",
    Severity.ERROR,
)
