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
"""

from __future__ import annotations

from lameduck.core.finding import Defect, Severity

DEFECT = Defect(
    "LD505",
    "stop-signal-unsuited",
    "The stop signal is not the server's graceful one",
    "For some servers TERM means stop at once: nginx drains on QUIT, httpd on WINCH, gunicorn's and uvicorn's "
    "QUIT cuts.",
    Severity.ERROR,
)
