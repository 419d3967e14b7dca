"""The Service's outside address: a TCP proxy on 127.0.0.1, so that curl, wrk or JMeter can be pointed at it.

Law: each connection is routed once, by the node's table, when it is made, and what became of it is kept. What differs
from a node: this proxy has accepted before it knows whether a pod will, so that *refused* looks like *reset* to the
client; `passages` puts that right where a load is imported.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import struct
import time
from collections.abc import Callable

from lameduck.cluster import Dialer
from lameduck.core.errors import EnvironmentFault
from lameduck.local.passages import End, Passage

_CHUNK = 1 << 16


class Doorway:
    """A listening proxy. Costs nothing while nobody connects. `passages` has every connection that came."""

    def __init__(self, dialer: Dialer, clock: Callable[[], int]) -> None:
        self._dialer = dialer
        self._clock = clock
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server
        self.passages: list[Passage] = []

    @classmethod
    async def open(cls, dialer: Dialer, port: int = 0, clock: Callable[[], int] = time.monotonic_ns) -> Doorway:
        """Listen on a port of 127.0.0.1 (0: any free one). Raises `EnvironmentFault` where it is taken."""
        doorway = cls(dialer, clock)

        loop = asyncio.get_running_loop()
        try:
            doorway._server = await loop.create_server(doorway._protocol, "127.0.0.1", port, backlog=4096)
        except OSError as error:
            raise EnvironmentFault(f"port {port} of 127.0.0.1 cannot be the Service's: {error.strerror}") from error
        return doorway

    @property
    def address(self) -> str:
        """``127.0.0.1:PORT``."""
        host, port = self._server.sockets[0].getsockname()[:2]
        return f"{host}:{port}"

    def keep(self, task: asyncio.Task[None]) -> None:
        """Hold on to a connection's task until it is done."""
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Stop listening and drop every connection."""
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _protocol(self) -> asyncio.StreamReaderProtocol:
        passage = Passage(0)

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            passage.opened = self._clock()
            self.passages.append(passage)
            self.keep(asyncio.ensure_future(self.carry(passage, reader, writer)))

        return asyncio.StreamReaderProtocol(_Watched(lambda: self._ended(passage, End.BY_CLIENT)), accept)

    async def carry(self, passage: Passage, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Route one connection and pass its bytes until both sides are done."""
        try:
            there, back = await self._connect(passage)
            await asyncio.gather(
                self._pass_on(passage, End.BY_CLIENT, reader, back), self._pass_on(passage, End.BY_POD, there, writer)
            )
        except OSError as error:
            refused = End.REJECTED if not passage.pod else End.REFUSED
            self._ended(passage, refused if error.errno == errno.ECONNREFUSED else End.BY_POD)
            await _reset(writer)
        finally:
            self._ended(passage, End.BY_CLIENT)
            writer.close()

    async def _connect(self, passage: Passage) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        route = self._dialer.dial()
        passage.pod = route.pod
        if route.socket is None:
            raise ConnectionRefusedError(errno.ECONNREFUSED, "no usable endpoint")
        try:
            await asyncio.get_running_loop().sock_connect(route.socket, route.address)
        except BaseException:
            route.socket.close()
            raise
        passage.connected = self._clock()
        return await asyncio.open_connection(sock=route.socket)

    async def _pass_on(
        self, passage: Passage, end: End, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Pass bytes on until `reader`'s side ends; a reset stays a reset."""
        while True:
            try:
                data = await reader.read(_CHUNK)
            except OSError:
                self._ended(passage, end)
                await _reset(writer)
                return
            try:
                if not data:
                    self._ended(passage, end)
                    if writer.can_write_eof() and not writer.transport.is_closing():
                        writer.write_eof()
                    return
                if end is End.BY_POD:
                    passage.answered = self._clock()
                else:
                    passage.requests += passage.answered >= passage.asked
                    passage.asked = self._clock()
                writer.write(data)
                await writer.drain()
            except OSError:  # the other side has gone, which its own direction tells
                return

    def _ended(self, passage: Passage, end: End) -> None:
        """The first end counts."""
        if not passage.ended:
            passage.ended, passage.end = self._clock(), end


class _Watched(asyncio.StreamReader):
    """Tells when its side ends, also while nobody reads."""

    def __init__(self, ended: Callable[[], None]) -> None:
        super().__init__()
        self._tell = ended

    def feed_eof(self) -> None:
        """The other side is done sending."""
        self._tell()
        super().feed_eof()

    def set_exception(self, exc: Exception) -> None:
        """The other side has broken off."""
        self._tell()
        super().set_exception(exc)


async def _reset(writer: asyncio.StreamWriter) -> None:
    """End a connection by RST, as the pod did, not by the FIN of a close in good order."""
    raw = writer.get_extra_info("socket")
    if raw is not None:
        with contextlib.suppress(OSError):
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
