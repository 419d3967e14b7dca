"""The stop signal is ignored, and the server inherits that (LD406, sigterm-ignored).

What it finds
    trap '' TERM before the server starts.

Why it loses requests
    An ignored signal stays ignored across exec: nothing stops before SIGKILL.

Fix and its safety
    Safe: remove the line.

Evidence
    POSIX, exec: ignored signals stay ignored.
"""

from __future__ import annotations

from lameduck.core.finding import Defect, Severity

DEFECT = Defect(
    "LD406",
    "sigterm-ignored",
    "The stop signal is ignored, and the server inherits that",
    "An ignored signal stays ignored across exec: nothing stops before SIGKILL.",
    Severity.ERROR,
)
