"""The stop signal ends at a shell (LD401, shell-swallows-sigterm).

What it finds
    A start script, or sh -c, as PID 1 that runs the server in the foreground (or in the background without a trap).

Why it loses requests
    PID 1 is a shell that runs the server as a child. A PID 1 without a handler ignores SIGTERM, so the server never
    hears of it and is killed at the end of the grace period.

Fix and its safety
    exec before the server, together with a preStop delay: safe where the same input shows a drain window or the
    same fix adds one, else unsafe, since a signal that arrives at once without a drain window loses more.

When not to care
    The shell replaces itself (busybox ash and bash with sh -c). Commands after the server would no longer run after
    exec: then the wait loop.

Evidence
    Measured in PID namespaces with dash 0.5.12, bash 5.2.15 and busybox 1.35.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lameduck.core.finding import Defect, Fix, Severity
from lameduck.defects.snippets import EXEC, script_and_window

DEFECT = Defect(
    "LD401",
    "shell-swallows-sigterm",
    "The stop signal ends at a shell",
    "PID 1 is a shell that runs the server as a child. A PID 1 without a handler ignores SIGTERM, so the server "
    "never hears of it and is killed at the end of the grace period.",
    Severity.ERROR,
)


def proof_fix(facts: Mapping[str, Any]) -> Fix | None:
    """exec in the start script together with the drain window; facts: as LD101, and ``shell``."""
    return script_and_window(EXEC, "exec the server, and wait before the stop signal", facts)
