"""GOAWAY under hypercorn, which says none when it stops: how HTTP/2 asks a client to leave (RFC 9113, 6.8).

Its last stream is the highest there is: nothing that the client has sent is refused, and it opens nothing new here.
It is written between two of hypercorn's own frames, over what the ASGI `send` of a request belongs to: nothing public
leads to its connection, so whatever is not found as in hypercorn 0.18 is left alone (its clients meet its own stop).

Laws: each connection that has carried a request is told once, spread over `least`, or at its first request while lame;
asyncio only.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
import sys
import weakref
from collections.abc import Awaitable, Callable
from typing import Any

from lameduck_pod.layer import Layer
from lameduck_pod.spans import SECOND

# Length (24 bits), type, flags, stream 0 | last stream, NO_ERROR.
FRAME = struct.pack(">xHBBIII", 8, 7, 0, 0, 2**31 - 1, 0)

Connection = Any
"""hypercorn's H2Protocol."""


class GoAway:
    """The HTTP/2 connections of one layer's server. Called in the server's event loop, but for `_soon`."""

    def __init__(self, layer: Layer) -> None:
        self.layer = layer
        self.connections: weakref.WeakSet[Connection] = weakref.WeakSet()
        self.loop: asyncio.AbstractEventLoop | None = None
        self.watched = False
        self._tasks: set[asyncio.Task[None]] = set()

    def seen(self, send: Callable[[Any], Awaitable[None]]) -> None:
        """A request over HTTP/2 has come, and is answered by `send`."""
        connection = _connection(send)
        if connection is None or connection in self.connections:
            return
        with contextlib.suppress(RuntimeError):  # no asyncio: trio
            self.loop = asyncio.get_running_loop()
            self.connections.add(connection)
            if self.layer.lame:
                self._say(connection)
            elif not self.watched:
                self.watched = True
                self.layer.watch(self._soon)

    def _soon(self) -> None:
        self.watched = False
        if self.loop is not None:
            with contextlib.suppress(RuntimeError):  # closed
                self.loop.call_soon_threadsafe(self._all)

    def _all(self) -> None:
        connections = list(self.connections)
        window = self.layer.settings.rules.least / SECOND / max(1, len(connections))
        for number, connection in enumerate(connections):
            asyncio.get_running_loop().call_later(number * window, self._say, connection)

    def _say(self, connection: Connection) -> None:
        task = asyncio.get_running_loop().create_task(_write(connection))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _connection(send: object) -> Connection | None:
    stream = getattr(send, "__self__", None)
    if not type(stream).__module__.startswith("hypercorn.protocol."):
        return None
    connection = getattr(getattr(stream, "send", None), "__self__", None)
    return connection if type(connection).__name__ == "H2Protocol" else None


async def _write(connection: Connection) -> None:
    with contextlib.suppress(Exception):  # it is gone, or another version's
        if not connection.closed:
            await connection.send(sys.modules["hypercorn.events"].RawData(data=FRAME))
