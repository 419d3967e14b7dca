"""Cut in flight (LD902, cut-in-flight).

What is seen
    The connection ended within 100 ms of the exit of the pod's first process, and that was no SIGKILL at the end
    of the grace period. It shows mostly as a closed connection (FIN), rarely as a reset.

Why it happens
    The pod's process ended by itself while it held requests in hand.

Usual causes
    LD803 (the server does not drain), LD404 (the script that is PID 1 leaves before its child), LD801 (a drain
    that gives up too early).

What to do
    A server that finishes what it has in hand, and PID 1 that waits for it.
"""

from __future__ import annotations

from lameduck.core.finding import Defect, Severity

DEFECT = Defect(
    "LD902",
    "cut-in-flight",
    "Cut in flight",
    "The pod's process ended by itself while it held requests in hand.",
    Severity.ERROR,
)
