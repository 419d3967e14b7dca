"""A signal during the set-up is lost (LD410, sigterm-lost-while-starting).

What it finds
    A long set-up (migrations, waiting for a database) before exec, without an init.

Why it loses requests
    Until exec, the shell is PID 1 without a handler: a stop in that time is ignored until SIGKILL.

Fix and its safety
    None.

When not to care
    Short set-ups.

Evidence
    livekit/egress issue 1384.

Example
    start.sh:
        #!/bin/sh
        python manage.py migrate && exec gunicorn a:b
    Dockerfile:
        FROM python:3.12-slim
        COPY start.sh /start.sh
        ENTRYPOINT ["/start.sh"]
"""

from __future__ import annotations

from collections.abc import Iterator

from lameduck.core.finding import Confidence, Defect, Finding, Severity
from lameduck.defects.lintkit import finding, starting
from lameduck.manifests.endings import Way
from lameduck.manifests.programs import words
from lameduck.manifests.project import Project

DEFECT = Defect(
    "LD410",
    "sigterm-lost-while-starting",
    "A signal during the set-up is lost",
    "Until exec, the shell is PID 1 without a handler: a stop in that time is ignored until SIGKILL.",
    Severity.INFO,
)


_LONG = words(
    "migrate db:migrate db:prepare collectstatic wait-for-it.sh wait-for-it wait-for pg_isready upgrade install"
)


def lint(project: Project) -> Iterator[Finding]:
    """Long set-ups before exec, without an init."""
    for program in starting(project):
        if program.chain.init:
            continue
        for script, flow in program.chain.scripts:
            ends = [one for one in flow.endings if one.way is Way.EXEC]
            long = [one for one in flow.setup if set(one.words) & _LONG]
            if not ends or not long or any("TERM" in one.signals for one in ends[-1].traps):
                continue
            message = "a stop signal that comes during this set-up is lost: the shell is PID 1 and has no handler yet"
            place = script.text.span(long[0].start, long[0].end)
            yield finding(DEFECT, message, place, Confidence.POSSIBLE)
