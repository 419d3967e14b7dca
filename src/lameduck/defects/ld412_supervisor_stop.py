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

Example
    Dockerfile:
        FROM debian:12-slim
        RUN apt-get update && apt-get install -y nginx supervisor uwsgi-core
        COPY supervisord.conf /etc/supervisor/conf.d/web.conf
        COPY uwsgi.ini /etc/uwsgi.ini
        CMD ["/usr/bin/supervisord", "-n"]
    supervisord.conf:
        [program:uwsgi]
        command=/usr/bin/uwsgi --ini /etc/uwsgi.ini
        stopwaitsecs=25

        [program:nginx]
        command=/usr/sbin/nginx -g "daemon off;"
        stopwaitsecs=25
    uwsgi.ini:
        [uwsgi]
        master = true
        processes = 4
        socket = /run/app.sock
        module = shop.wsgi

Mended by lameduck fix
    --- a/supervisord.conf
    +++ b/supervisord.conf
    @@ -5,3 +5,4 @@
     [program:nginx]
     command=/usr/sbin/nginx -g "daemon off;"
     stopwaitsecs=25
    +stopsignal=QUIT
"""

from __future__ import annotations

from collections.abc import Iterator

from lameduck.core.finding import Confidence, Defect, Edit, Finding, Safety, Severity
from lameduck.defects.lintkit import finding, fix_of, starting
from lameduck.manifests.project import Project
from lameduck.manifests.supervisor import supervised

DEFECT = Defect(
    "LD412",
    "supervisor-stop",
    "supervisord stops the program the wrong way",
    "supervisord sends stopsignal (TERM unless said) and kills after stopwaitsecs (10 unless said): for some "
    "servers TERM means 'drop everything'.",
    Severity.ERROR,
)


def lint(project: Project) -> Iterator[Finding]:
    """Programs of supervisord that its stop signal or its patience cuts."""
    for program in starting(project):
        for one in supervised(program.chain, project.read):
            server, section = one.server, one.section
            if server is None:
                continue
            place = one.text.span(section.start, section.end)
            option = section.options.get("stopsignal")
            if server.graceful and one.signal not in server.graceful:
                wanted = server.graceful[0]
                message = (
                    f"supervisord stops {server.name} with {one.signal}{'' if option else ' (its default)'}, "
                    f"on which it drops requests in flight; {wanted} is its graceful stop"
                )
                if option:
                    place = one.text.span(option.start, option.end)
                    edit = Edit(option.start, option.end, f"stopsignal={wanted}")
                else:
                    edit = Edit(section.last, section.last, f"{one.text.eol}stopsignal={wanted}")
                fix = fix_of(f"stopsignal={wanted}", Safety.UNSAFE, (one.text, [edit]))
                yield finding(DEFECT, message, place, Confidence.CERTAIN, evidence=(server.evidence,), fix=fix)
            elif one.patience is not None and one.patience < (server.drain or 0):
                message = (
                    f"supervisord kills {server.name} after stopwaitsecs "
                    f"{one.patience:g}, and it drains for up to {server.drain:g} s"
                )
                yield finding(DEFECT, message, place, Confidence.LIKELY)
