"""uWSGI does not stop gracefully on SIGTERM (LD804, uwsgi-term-not-graceful).

What it finds
    uWSGI without a graceful hook for the stop signal.

Why it loses requests
    TERM reloads brutally and --die-on-term only makes it quit brutally: requests in flight are cut.

Fix and its safety
    Safe: hook-master-start = unix_signal:15 gracefully_kill_them_all

When not to care
    Settings in a file that is not in the input are not judged.

Evidence
    Measured with uWSGI 2.0.30.
"""

from __future__ import annotations

from lameduck.core.finding import Defect, Severity

DEFECT = Defect(
    "LD804",
    "uwsgi-term-not-graceful",
    "uWSGI does not stop gracefully on SIGTERM",
    "TERM reloads brutally and --die-on-term only makes it quit brutally: requests in flight are cut.",
    Severity.ERROR,
)
