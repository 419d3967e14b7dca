"""The script traps another signal than the one that is sent (LD413, wrapper-traps-another-signal).

What it finds
    A trap for TERM in an image that stops with QUIT, INT or WINCH, or the reverse.

Why it loses requests
    The runtime sends the image's STOPSIGNAL; a shell as PID 1 without a trap for exactly that signal ignores it.

Fix and its safety
    Safe: trap the signal that is sent and forward it unchanged; or exec.

Evidence
    Measured with bash: QUIT ignored until SIGKILL. Official php-fpm and nginx images stop with QUIT, httpd and
    php-apache with WINCH.
"""

from __future__ import annotations

from lameduck.core.finding import Defect, Severity

DEFECT = Defect(
    "LD413",
    "wrapper-traps-another-signal",
    "The script traps another signal than the one that is sent",
    "The runtime sends the image's STOPSIGNAL; a shell as PID 1 without a trap for exactly that signal ignores it.",
    Severity.ERROR,
)
