"""PID 1 does not wait for the server to finish (LD404, interrupted-wait).

What it finds
    One wait after a trap that forwards, or a second one that set -e never reaches.

Why it loses requests
    The signal is forwarded, but a trapped signal makes wait return at once; the script ends, it was PID 1, and the
    kernel kills the server.

Fix and its safety
    The proven wait loop, together with a preStop delay.

When not to care
    A wait inside the handler is right.

Evidence
    POSIX, wait: a trapped signal makes it return above 128. Measured: dead after 30 ms.

Example
    start.sh:
        #!/bin/bash -e
        trap 'kill -TERM $PID' TERM
        gunicorn a:b &
        PID=$!
        wait $PID
        wait $PID
    Dockerfile:
        FROM python:3.12-slim
        COPY start.sh /start.sh
        ENTRYPOINT ["/start.sh"]

Mended by lameduck fix
    --- a/start.sh
    +++ b/start.sh
    @@ -2,5 +2,7 @@
     trap 'kill -TERM $PID' TERM
     gunicorn a:b &
     PID=$!
    -wait $PID
    -wait $PID
    +rc=0
    +wait "$PID" || rc=$?
    +while kill -0 "$PID" 2>/dev/null; do wait "$PID" || rc=$?; done
    +exit "$rc"
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from lameduck.core.finding import Defect, Finding, Fix, Severity
from lameduck.defects.scriptfix import of_problem, rewait, server_name, troubled
from lameduck.defects.snippets import WAIT_LOOP, script_and_window
from lameduck.manifests.chain import Trouble
from lameduck.manifests.project import Project

DEFECT = Defect(
    "LD404",
    "interrupted-wait",
    "PID 1 does not wait for the server to finish",
    "The signal is forwarded, but a trapped signal makes wait return at once; the script ends, it was PID 1, "
    "and the kernel kills the server.",
    Severity.ERROR,
)


def proof_fix(facts: Mapping[str, Any]) -> Fix | None:
    """The proven wait loop together with the drain window; facts: as LD101, and ``shell``."""
    return script_and_window(WAIT_LOOP, "wait until the server has ended, and wait before the stop signal", facts)


def lint(project: Project) -> Iterator[Finding]:
    """Waits that the forwarded signal ends."""
    for program, problem in troubled(project, Trouble.INTERRUPTED):
        message = (
            f"SIG{problem.signal} is forwarded, but it also ends this wait at once: PID 1 exits "
            f"and the kernel kills {server_name(problem)} before it has drained"
        )
        yield of_problem(DEFECT, message, project, program, problem, rewait(project, program, problem))
