"""The script traps another signal than the one that is sent (LD413, wrapper-traps-another-signal).

What it finds
    A trap for TERM in an image that stops with QUIT, INT or WINCH, or the reverse; a handler that sends the server a
    signal on which it cuts (TERM to nginx).

Why it loses requests
    The runtime sends the image's STOPSIGNAL; a shell as PID 1 without a trap for exactly that signal ignores it.

Fix and its safety
    Safe: trap the signal that is sent and forward it unchanged, or send the one on which the server drains; or exec.

Evidence
    Measured with bash: QUIT ignored until SIGKILL. Official php-fpm and nginx images stop with QUIT, httpd and
    php-apache with WINCH.

Example
    Dockerfile:
        FROM php:8.3-fpm-bookworm
        # the base image sets: STOPSIGNAL SIGQUIT
        COPY . /var/www/html
        COPY wrap.sh /usr/local/bin/wrap.sh
        ENTRYPOINT ["wrap.sh"]
        CMD ["php-fpm"]
    wrap.sh:
        #!/bin/bash
        php /var/www/html/artisan config:cache

        "$@" &
        pid=$!
        stop() { kill -TERM "$pid"; wait "$pid"; exit $?; }
        trap stop TERM
        wait "$pid"

Mended by lameduck fix
    --- a/wrap.sh
    +++ b/wrap.sh
    @@ -3,6 +3,6 @@

     "$@" &
     pid=$!
    -stop() { kill -TERM "$pid"; wait "$pid"; exit $?; }
    -trap stop TERM
    +stop() { kill -QUIT "$pid"; wait "$pid"; exit $?; }
    +trap stop TERM QUIT
     wait "$pid"
"""

from __future__ import annotations

from collections.abc import Iterator

from lameduck.core.finding import Defect, Finding, Severity
from lameduck.defects.scriptfix import of_problem, troubled
from lameduck.defects.wording import other_signal, trap_the_signal
from lameduck.manifests.chain import Trouble
from lameduck.manifests.project import Project

DEFECT = Defect(
    "LD413",
    "wrapper-traps-another-signal",
    "The script traps another signal than the one that is sent",
    "The runtime sends the image's STOPSIGNAL; a shell as PID 1 without a trap for exactly that signal ignores it.",
    Severity.ERROR,
)


def lint(project: Project) -> Iterator[Finding]:
    """Traps for another signal than the one that is sent."""
    for program, problem in troubled(project, Trouble.OTHER_SIGNAL):
        message = other_signal(problem, program.launch)
        yield of_problem(DEFECT, message, project, program, problem, trap_the_signal(problem))
