"""The stop signal is not the server's graceful one (LD505, stop-signal-unsuited).

What it finds
    A known server whose graceful signal is another than the one the image sends.

Why it loses requests
    For some servers TERM means stop at once: nginx drains on QUIT, httpd on WINCH, gunicorn's and uvicorn's QUIT
    cuts.

Fix and its safety
    Unsafe: STOPSIGNAL.

When not to care
    Unknown servers are not judged.

Evidence
    Measured: nginx 1.22, 4 in flight: TERM cut 4, QUIT served 4.

Example
    Dockerfile:
        FROM nginx:1.16
        COPY a /b

Mended by lameduck fix
    --- a/Dockerfile
    +++ b/Dockerfile
    @@ -1,2 +1,3 @@
     FROM nginx:1.16
     COPY a /b
    +STOPSIGNAL SIGQUIT
"""

from __future__ import annotations

from collections.abc import Iterator

from lameduck.core.finding import Confidence, Defect, Finding, Severity
from lameduck.defects.lintkit import finding, starting
from lameduck.defects.stopsignals import signal_fix, signal_place, unsuited
from lameduck.manifests.project import Project

DEFECT = Defect(
    "LD505",
    "stop-signal-unsuited",
    "The stop signal is not the server's graceful one",
    "For some servers TERM means stop at once: nginx drains on QUIT, httpd on WINCH, gunicorn's and uvicorn's "
    "QUIT cuts.",
    Severity.ERROR,
)


def lint(project: Project) -> Iterator[Finding]:
    """Known servers that the stop signal makes drop their requests."""
    for program in starting(project):
        case = unsuited(program)
        if case is None or case.foreign:
            continue
        message = (
            f"{case.server.name} gets SIG{case.signal}{case.source}, on which it does not drain; "
            f"SIG{case.server.graceful[0]} is its graceful stop"
        )
        fix = signal_fix(program, case.server.graceful[0])
        evidence = (case.server.evidence,) if case.server.evidence else ()
        yield finding(DEFECT, message, signal_place(program), Confidence.LIKELY, evidence=evidence, fix=fix)
