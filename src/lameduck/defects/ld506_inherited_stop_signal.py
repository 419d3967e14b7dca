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

Example
    Dockerfile:
        FROM php:8.3-fpm
        CMD ["php","artisan","queue:work"]

Mended by lameduck fix
    --- a/Dockerfile
    +++ b/Dockerfile
    @@ -1,2 +1,3 @@
     FROM php:8.3-fpm
    +STOPSIGNAL SIGTERM
     CMD ["php","artisan","queue:work"]
"""

from __future__ import annotations

from collections.abc import Iterator

from lameduck.core.finding import Confidence, Defect, Finding, Severity
from lameduck.defects.lintkit import finding, starting
from lameduck.defects.stopsignals import inherited, signal_fix, signal_place
from lameduck.manifests.project import Project

DEFECT = Defect(
    "LD506",
    "inherited-stop-signal",
    "A stop signal inherited from the base image does not suit",
    "Images built FROM nginx, php-fpm or httpd stop with QUIT or WINCH; another program has no handler for it.",
    Severity.WARNING,
)


def lint(project: Project) -> Iterator[Finding]:
    """Programs that are stopped with a signal meant for the base image's server."""
    for program in starting(project):
        case = inherited(program)
        if case is None:
            continue
        program_name, signal, base, wanted = case
        message = (
            f"{program_name} is stopped with SIG{signal}, inherited from {base}, which is meant for another program"
        )
        yield finding(DEFECT, message, signal_place(program), Confidence.LIKELY, fix=signal_fix(program, wanted))
