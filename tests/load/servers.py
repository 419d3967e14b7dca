"""Small servers of known behaviour, each told as what it does with a connection."""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Self

from lameduck.core.instants import MILLISECOND, SECOND
from lameduck.load.dialer import TcpDialer

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Served-By: a\r\n\r\nok"

LONGEST_TURN = 80 * MILLISECOND
"""More than that between two looks at the clock (ns), and the machine stood still: an engine looks every 10 ms."""


class Unstalled:
    """CLOCK_MONOTONIC without the machine's stalls, for engines of which something exact is asked: what lies between
    two looks at it counts for `LONGEST_TURN` at most."""

    def __init__(self) -> None:
        self._real = self._shown = time.monotonic_ns()

    def __call__(self) -> int:
        now = time.monotonic_ns()
        self._shown += min(now - self._real, LONGEST_TURN)
        self._real = now
        return self._shown

    async def sleep(self, seconds: float) -> None:
        """So long by this clock, while something looks at it or nothing does."""
        until = self() + round(seconds * SECOND)
        while self() < until:
            await asyncio.sleep(0.005)


Behaviour = Callable[["Peer"], Awaitable[None]]


class Peer:
    """The server's side of one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def request(self) -> bytes:
        """The next request's head, b"" at the end of the connection."""
        try:
            return await self.reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            return b""

    def say(self, data: bytes) -> None:
        self.writer.write(data)

    def reset(self) -> None:
        """Close with RST."""
        self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


async def well_behaved(peer: Peer) -> None:
    while await peer.request():
        peer.say(ANSWER)


def says(*pieces: bytes, first: bytes = b"", then: Behaviour | None = None) -> Behaviour:
    """Answer the first request with these pieces, one write each, then do `then` (default: close)."""

    async def behave(peer: Peer) -> None:
        await peer.request()
        peer.say(first)
        for piece in pieces:
            peer.say(piece)
            await peer.writer.drain()
            await asyncio.sleep(0.005 if len(pieces) > 1 else 0)
        if then is not None:
            await then(peer)

    return behave


async def reset(peer: Peer) -> None:
    peer.reset()


async def hold(peer: Peer) -> None:
    """Keep the connection open and say nothing more."""
    await peer.reader.read()


def blackhole() -> tuple[socket.socket, list[socket.socket]]:
    """A listener whose queue is full: the kernel leaves further SYNs unanswered. The sockets must be kept."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    fillers = []
    for _ in range(4):
        filler = socket.socket()
        filler.setblocking(False)
        filler.connect_ex(listener.getsockname())
        fillers.append(filler)
    return listener, fillers


class Server:
    """Listens on a free port of 127.0.0.1 while it is entered; `connections` counts what was accepted."""

    def __init__(self, behaviour: Behaviour, **options: object) -> None:
        self._behaviour, self._options = behaviour, options
        self.port = self.connections = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, **self._options)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        with suppress(ConnectionError, asyncio.CancelledError):
            await self._behaviour(Peer(reader, writer))
        writer.close()


def dialer(port: int) -> TcpDialer:
    return TcpDialer(((socket.AF_INET, ("127.0.0.1", port)),))
