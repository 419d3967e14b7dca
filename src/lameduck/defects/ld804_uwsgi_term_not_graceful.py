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

Example
    Dockerfile:
        FROM python:3.12-slim
        COPY uwsgi.ini /uwsgi.ini
        CMD ["uwsgi","/uwsgi.ini"]
    uwsgi.ini:
        [uwsgi]
        master=true
        die-on-term = true

Mended by lameduck fix
    --- a/uwsgi.ini
    +++ b/uwsgi.ini
    @@ -1,3 +1,4 @@
     [uwsgi]
     master=true
     die-on-term = true
    +hook-master-start = unix_signal:15 gracefully_kill_them_all
"""

from __future__ import annotations

from collections.abc import Iterator

from lameduck.core.finding import Confidence, Defect, Edit, Finding, Fix, Safety, Severity
from lameduck.defects.lintkit import advice, finding, fix_of, starting
from lameduck.manifests.project import Project
from lameduck.manifests.uwsgi import Uwsgi, uwsgis

DEFECT = Defect(
    "LD804",
    "uwsgi-term-not-graceful",
    "uWSGI does not stop gracefully on SIGTERM",
    "TERM reloads brutally and --die-on-term only makes it quit brutally: requests in flight are cut.",
    Severity.ERROR,
)


HOOK = "unix_signal:15 gracefully_kill_them_all"


def lint(project: Project) -> Iterator[Finding]:
    """uWSGI without a graceful hook for the signal that it gets."""
    for program in starting(project):
        for one in uwsgis(program.chain, project.read):
            if one.graceful or one.unseen or one.signal not in {None, "TERM"}:
                continue
            how = (
                "die-on-term makes it quit brutally"
                if one.dies_on_term
                else "SIGTERM reloads it brutally and it does not even stop"
            )
            message = f"uWSGI: {how}: requests in flight are cut; it needs hook-master-start = {HOOK}"
            yield finding(DEFECT, message, one.place, Confidence.CERTAIN, fix=_fix(one))


def _fix(one: Uwsgi) -> Fix | None:
    if one.section is None or one.text is None:
        return advice("a graceful hook", f"--hook-master-start '{HOOK}'\n", Safety.SAFE)
    line = f"{one.text.eol}hook-master-start = {HOOK}"
    return fix_of("a graceful hook", Safety.SAFE, (one.text, [Edit(one.section.last, one.section.last, line)]))
