"""Accepted, never answered (LD905, accepted-never-answered).

What is seen
    A request that was sent to a pod after its stop signal and got no byte of an answer before the time-out.

Why it happens
    A stopping pod's kernel went on taking connections that nobody served any more. A refusal would have been
    kinder, since clients retry it.

Usual causes
    Servers that stop accepting without closing their listener (gunicorn, hypercorn while draining).

What to do
    A preStop that outlasts the propagation lag, so that nothing arrives any more.
"""

from __future__ import annotations

from lameduck.core.finding import Defect, Severity

DEFECT = Defect(
    "LD905",
    "accepted-never-answered",
    "Accepted, never answered",
    "A stopping pod's kernel went on taking connections that nobody served any more. A refusal would have been "
    "kinder, since clients retry it.",
    Severity.ERROR,
)
