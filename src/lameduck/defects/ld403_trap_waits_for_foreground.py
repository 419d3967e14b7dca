"""A trap that cannot run while the server is in the foreground (LD403, trap-waits-for-foreground).

What it finds
    A trap for the stop signal while the server runs in the foreground.

Why it loses requests
    The shell runs a trap only after its foreground child ends, so the signal waits for the server to end by itself.

Fix and its safety
    Unsafe: drop the trap and exec, or the proven wait loop.

Evidence
    POSIX, trap: executed after the foreground command. Measured in three shells.
"""

from __future__ import annotations

from lameduck.core.finding import Defect, Severity

DEFECT = Defect(
    "LD403",
    "trap-waits-for-foreground",
    "A trap that cannot run while the server is in the foreground",
    "The shell runs a trap only after its foreground child ends, so the signal waits for the server to end by itself.",
    Severity.ERROR,
)
