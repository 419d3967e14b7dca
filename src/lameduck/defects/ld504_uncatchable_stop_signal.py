"""STOPSIGNAL cannot be caught (LD504, uncatchable-stop-signal).

What it finds
    STOPSIGNAL SIGKILL or SIGSTOP (also 9, 19).

Why it loses requests
    SIGKILL and SIGSTOP reach no handler: every request in flight is lost.

Fix and its safety
    Safe: remove the line.

Evidence
    signal(7).

Example
    Dockerfile:
        FROM python:3.12-slim
        STOPSIGNAL SIGKILL
        CMD ["gunicorn","a:b"]

Mended by lameduck fix
    --- a/Dockerfile
    +++ b/Dockerfile
    @@ -1,3 +1,2 @@
     FROM python:3.12-slim
    -STOPSIGNAL SIGKILL
     CMD ["gunicorn","a:b"]
"""

from __future__ import annotations

from collections.abc import Iterator

from lameduck.core.finding import Confidence, Defect, Edit, Finding, Safety, Severity
from lameduck.defects.lintkit import finding, fix_of
from lameduck.manifests.project import Project
from lameduck.manifests.signals import signal_name

DEFECT = Defect(
    "LD504",
    "uncatchable-stop-signal",
    "STOPSIGNAL cannot be caught",
    "SIGKILL and SIGSTOP reach no handler: every request in flight is lost.",
    Severity.ERROR,
)


def lint(project: Project) -> Iterator[Finding]:
    """STOPSIGNAL lines that no handler can catch."""
    for dockerfile in project.dockerfiles:
        stage = dockerfile.final
        line = None
        while stage is not None and line is None:
            line, stage = stage.last("STOPSIGNAL"), stage.parent
        if line is None or signal_name(line.value) not in {"KILL", "STOP"}:
            continue
        text = line.text
        newline = text.content.find("\n", line.end)
        edit = Edit(text.line_start(line.start), len(text.content) if newline < 0 else newline + 1, "")
        message = f"STOPSIGNAL {line.value} reaches no handler: every request in flight is lost at every stop"
        fix = fix_of("the default, SIGTERM", Safety.SAFE, (text, [edit]))
        yield finding(DEFECT, message, line.span, Confidence.CERTAIN, fix=fix)
