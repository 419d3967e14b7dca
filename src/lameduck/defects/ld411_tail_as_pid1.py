"""tail keeps the container alive (LD411, tail-as-pid1).

What it finds
    A daemonised or background server followed by tail -f or sleep infinity.

Why it loses requests
    The server runs as a daemon beside it; the stop signal ends tail (or is ignored), never the server.

Fix and its safety
    None: run the server in the foreground with exec.
"""

from __future__ import annotations

from lameduck.core.finding import Defect, Severity

DEFECT = Defect(
    "LD411",
    "tail-as-pid1",
    "tail keeps the container alive",
    "The server runs as a daemon beside it; the stop signal ends tail (or is ignored), never the server.",
    Severity.ERROR,
)
