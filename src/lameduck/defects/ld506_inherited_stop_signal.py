"""A stop signal inherited from the base image does not suit (LD506, inherited-stop-signal).

What it finds
    FROM such an image with another process as CMD.

Why it loses requests
    Images built FROM nginx, php-fpm or httpd stop with QUIT or WINCH; another program has no handler for it.

Fix and its safety
    Unsafe: STOPSIGNAL SIGTERM.

When not to care
    Only the last stage counts.

Evidence
    Official images' history.
"""

from __future__ import annotations

from lameduck.core.finding import Defect, Severity

DEFECT = Defect(
    "LD506",
    "inherited-stop-signal",
    "A stop signal inherited from the base image does not suit",
    "Images built FROM nginx, php-fpm or httpd stop with QUIT or WINCH; another program has no handler for it.",
    Severity.WARNING,
)
