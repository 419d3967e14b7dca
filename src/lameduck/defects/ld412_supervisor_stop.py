"""supervisord stops the program the wrong way (LD412, supervisor-stop).

What it finds
    nginx or php-fpm without stopsignal=QUIT, uWSGI without a graceful hook, stopwaitsecs below the server's drain.

Why it loses requests
    supervisord sends stopsignal (TERM unless said) and kills after stopwaitsecs (10 unless said): for some servers
    TERM means 'drop everything'.

Fix and its safety
    Unsafe: stopsignal and stopwaitsecs for the program it runs.

When not to care
    supervisord itself as PID 1 is fine: it forwards.

Evidence
    supervisor 4.3 defaults. Measured: nginx cut 4 of 4 on TERM, uWSGI 3 of 3.
"""

from __future__ import annotations

from lameduck.core.finding import Defect, Severity

DEFECT = Defect(
    "LD412",
    "supervisor-stop",
    "supervisord stops the program the wrong way",
    "supervisord sends stopsignal (TERM unless said) and kills after stopwaitsecs (10 unless said): for some "
    "servers TERM means 'drop everything'.",
    Severity.ERROR,
)
