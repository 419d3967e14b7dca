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
"""

from __future__ import annotations

from lameduck.core.finding import Defect, Severity

DEFECT = Defect(
    "LD410",
    "sigterm-lost-while-starting",
    "A signal during the set-up is lost",
    "Until exec, the shell is PID 1 without a handler: a stop in that time is ignored until SIGKILL.",
    Severity.INFO,
)
