"""WebSocket cut (LD916, websocket-cut).

What is seen
    A WebSocket that was held open ended without a close frame, or with one that names a fault (1011), or it was told to
    come again and could not within the time allowed.

Why it happens
    An upgraded connection outlives the listener: closing that, and waiting for requests, waits for no socket. It dies
    with the process, and every client finds out by itself, all at the same moment.

Usual causes
    A stop handler that closes the listener only; a server that exits on the signal; SIGKILL at the end of the grace
    period, with sockets that nobody closed.

What to do
    Send a close frame (1001 or 1012) on each socket when the drain begins, spread over the window, and let clients come
    back after a jitter. The lame-duck layer of lameduck-pod does so.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lameduck.core.finding import Defect, Fix, Safety, Severity

DEFECT = Defect(
    "LD916",
    "websocket-cut",
    "WebSocket cut",
    "The WebSocket died with its pod and was not told to come again.",
    Severity.ERROR,
)


def proof_fix(_: Mapping[str, Any]) -> Fix:
    """In words: whether and how a server can close its sockets is the server's business."""
    return Fix("close each WebSocket with 1001 when the drain begins, spread over the window", Safety.UNSAFE)
