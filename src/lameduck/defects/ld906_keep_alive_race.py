"""Kept-alive connection closed as it was reused (LD906, keep-alive-race).

What is seen
    A reused connection that was closed or reset with no byte of an answer, by a pod that lived on: in steady
    state, or as it closed its idle connections on the stop signal.

Why it happens
    The server closed an idle connection at the moment the client sent its next request on it.

Usual causes
    LD605 in steady state: the server's idle time-out is shorter than the client's or the proxy's.

What to do
    An idle time-out above the proxy's; while stopping, Connection: close on answers instead of closing idle
    connections (the lame-duck layer). A preStop makes it rarer, not impossible.
"""

from __future__ import annotations

from lameduck.core.finding import Defect, Severity

DEFECT = Defect(
    "LD906",
    "keep-alive-race",
    "Kept-alive connection closed as it was reused",
    "The server closed an idle connection at the moment the client sent its next request on it.",
    Severity.ERROR,
)
