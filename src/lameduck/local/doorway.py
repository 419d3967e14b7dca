"""The Service's outside address: a TCP proxy on 127.0.0.1, so that curl, wrk or JMeter can be pointed at it.

Law: each connection is routed once, by the node's table, when it is made. What differs from a node: this proxy has
accepted before it knows whether a pod will, so that *refused* looks like *closed* to the client.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno

from lameduck.cluster import Dialer

_CHUNK = 1 << 16


class Doorway:
    """A listening proxy. Costs nothing while nobody connects."""

    def __init__(self, server: asyncio.Server, dialer: Dialer) -> None:
        self._server = server
        self._dialer = dialer
        self._tasks: set[asyncio.Task[None]] = set()

    @classmethod
    async def open(cls, dialer: Dialer, port: int = 0) -> Doorway:
        """Listen on a port of 127.0.0.1 (0: any free one)."""
        doorway: Doorway

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.ensure_future(doorway.carry(reader, writer))
            doorway.keep(task)

        doorway = cls(await asyncio.start_server(accept, "127.0.0.1", port), dialer)
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

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Route one connection and pass its bytes until both sides are done."""
        try:
            there, back = await self._connect()
            await asyncio.gather(_pass_on(reader, back), _pass_on(there, writer))
        except OSError:
            writer.transport.abort()
        finally:
            writer.close()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        route = self._dialer.dial()
        if route.socket is None:
            raise ConnectionRefusedError(errno.ECONNREFUSED, "no usable endpoint")
        try:
            await asyncio.get_running_loop().sock_connect(route.socket, route.address)
        except BaseException:
            route.socket.close()
            raise
        return await asyncio.open_connection(sock=route.socket)


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(_CHUNK):
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
    except OSError:
        writer.transport.abort()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
