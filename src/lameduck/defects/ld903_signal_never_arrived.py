"""The stop signal never reached the app (LD903, signal-never-arrived).

What is seen
    Cut within 100 ms of an exit with code 137 at the end of the grace period, and the app never reacted: the
    listener stayed open, no 503, no Connection: close after the stop signal.

Why it happens
    The app went on as if nothing had happened until SIGKILL ended it, with the requests it had in hand.

Usual causes
    LD401 where PID 1 is a shell without a handler, LD403 where it has one that waits for the foreground command,
    LD406 where the signal is ignored on purpose. In a local proof SigCgt in the status of PID 1 decides; on a
    cluster with --look-inside, for shells.

What to do
    exec the server, or the proven wait loop, together with a preStop: a signal that arrives at once, without a
    drain window, loses more.
"""

from __future__ import annotations

from lameduck.core.finding import Defect, Severity

DEFECT = Defect(
    "LD903",
    "signal-never-arrived",
    "The stop signal never reached the app",
    "The app went on as if nothing had happened until SIGKILL ended it, with the requests it had in hand.",
    Severity.ERROR,
)
