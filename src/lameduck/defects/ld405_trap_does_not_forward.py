"""The trap does not forward the stop signal (LD405, trap-does-not-forward).

What it finds
    A handler that exits, only cleans up, or sends KILL.

Why it loses requests
    The handler ends the script or cleans up, and the server is killed without a word.

Fix and its safety
    Unsafe: kill -TERM the child and wait for it.

When not to care
    A handler that calls something that cannot be seen is not judged.

Evidence
    Measured in three shells.
"""

from __future__ import annotations

from lameduck.core.finding import Defect, Severity

DEFECT = Defect(
    "LD405",
    "trap-does-not-forward",
    "The trap does not forward the stop signal",
    "The handler ends the script or cleans up, and the server is killed without a word.",
    Severity.ERROR,
)
