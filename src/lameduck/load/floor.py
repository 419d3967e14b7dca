"""What all connections of one engine share.

Law: whoever is in flight is in `in_flight` from its actual start to its end, in the order of the starts, so that the
oldest comes first and time-outs need no timer of their own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lameduck.core.recording import Recording

if TYPE_CHECKING:
    from lameduck.load.connection import Connection

READ_SIZE = 1 << 17
"""Bytes read at once: large bodies cost few turns of the loop, and no turn is long."""


@dataclass(slots=True)
class Floor:
    """What all connections of an engine share."""

    loop: asyncio.AbstractEventLoop
    clock: Callable[[], int]
    recording: Recording
    served_by_name: bytes
    listen_idle: bool
    """Notice the end of an idle connection when it happens (a client that looks), not when it is used again."""
    freed: Callable[[Connection], None]
    """A kept-alive connection can take the next request."""
    lost: Callable[[Connection], None]
    """A kept-alive connection is no more."""
    crashed: Callable[[Exception], None]
    """A bug of our own: the run ends with it."""
    in_flight: dict[int, Connection] = field(default_factory=dict)
    """Every exchange that has begun and not ended, oldest first."""
    connecting: dict[int, Connection] = field(default_factory=dict)
    """Those of them that have no connection yet, oldest first."""
    lingering: dict[Connection, int] = field(default_factory=dict)
    """Connections that are done and wait for the server to close first, with the instant since when."""
    buffer: memoryview = field(default_factory=lambda: memoryview(bytearray(READ_SIZE)))
    opened: int = 0
