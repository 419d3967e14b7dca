"""Reset in the listen backlog (LD912, reset-in-backlog).

What is seen
    Connected before the listener closed, no byte of an answer, reset within 100 ms of the listener's close by a
    process that lived on; or, in a local proof, a connection that was seen waiting in the accept queue.

Why it happens
    The kernel had taken the connection, the server had not: when the listener closed, it was reset unread.

Usual causes
    Servers with few workers (gunicorn sync): what no worker has accepted is nobody's in-flight request.

What to do
    A preStop that outlasts the lag, so that the backlog is empty when the signal comes; or workers that accept at
    once.
"""

from __future__ import annotations

from lameduck.core.finding import Defect, Severity

DEFECT = Defect(
    "LD912",
    "reset-in-backlog",
    "Reset in the listen backlog",
    "The kernel had taken the connection, the server had not: when the listener closed, it was reset unread.",
    Severity.ERROR,
)
