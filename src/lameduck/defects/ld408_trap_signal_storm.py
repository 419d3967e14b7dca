"""The trap signals its own process group (LD408, trap-signal-storm).

What it finds
    kill 0 or kill -- -$$ in a handler without trap - TERM first.

Why it loses requests
    kill 0 sends the signal to the shell too: the trap triggers itself over and over.

Fix and its safety
    Safe: reset the trap first.

Evidence
    Measured in three shells.
"""

from __future__ import annotations

from lameduck.core.finding import Defect, Severity

DEFECT = Defect(
    "LD408",
    "trap-signal-storm",
    "The trap signals its own process group",
    "kill 0 sends the signal to the shell too: the trap triggers itself over and over.",
    Severity.WARNING,
)
