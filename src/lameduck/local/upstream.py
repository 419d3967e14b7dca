"""The ingress's side towards the pods: sockets of their networks, dials, and connections that are kept.

Law: a connection is used again as long as nobody has closed it, nothing came unasked on it, and it has not been idle
for `IDLE_PATIENCE`; whether its pod is still in the table does not matter to it.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

DIAL_PATIENCE = 30.0
IDLE_PATIENCE = 90.0
MOST_IDLE = 200
"""Of one pod. These three are Traefik's defaults (seconds)."""
_FEWEST_SOCKETS, _MOST_SOCKETS = 32, 256


@dataclass(slots=True)
class Connection:
    """One to a pod, between two requests or on one."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    idle_since: float = 0.0

    @property
    def usable(self) -> bool:
        """Nobody has closed it, nothing came unasked, and it is not too old."""
        young = time.monotonic() - self.idle_since < IDLE_PATIENCE
        return young and not self.reader.at_eof() and not self.writer.transport.is_closing()


class Pod:
    """A pod as the ingress knows it: its address, sockets of its network, and the idle connections to it."""

    def __init__(self, name: str, address: tuple[str, int], ask: Callable[[str, int], None]) -> None:
        self.name, self.address = name, address
        self.idle: deque[Connection] = deque()
        self.busy = 0
        """Connections with a request on them."""
        self._ask = ask
        self._sockets: deque[int] = deque()
        self._want = _FEWEST_SOCKETS
        self._asked = 0
        self._more = asyncio.Event()

    def __repr__(self) -> str:
        return f"<Pod {self.name} {len(self.idle)} idle>"

    def take_idle(self) -> Connection | None:
        """The connection that was used last, as Go's transport takes it; None to dial."""
        while self.idle:
            connection = self.idle.pop()
            if connection.usable:
                self.busy += 1
                return connection
            connection.writer.close()
        return None

    def give(self, connection: Connection) -> None:
        """It may be used again."""
        self.busy -= 1
        connection.idle_since = time.monotonic()
        self.idle.append(connection)
        if len(self.idle) > MOST_IDLE:
            self.idle.popleft().writer.close()

    def drop(self, connection: Connection | None) -> None:
        """It, if it was made at all, is not used again."""
        if connection is not None:
            self.busy -= 1
            connection.writer.close()

    def sweep(self) -> int:
        """Close what has ended meanwhile. Returns how many connections are open."""
        for connection in [each for each in self.idle if not each.usable]:
            self.idle.remove(connection)
            connection.writer.close()
        return self.busy + len(self.idle)

    async def dial(self, connection: socket.socket) -> Connection:
        """Connect a socket. Raises `OSError` as the pod's kernel says it, `TimeoutError` for silence."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(DIAL_PATIENCE):
                await loop.sock_connect(connection, self.address)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            reader, writer = await asyncio.open_connection(sock=connection)
        except BaseException:
            connection.close()
            raise
        self.busy += 1
        return Connection(reader, writer)

    async def socket(self) -> socket.socket:
        """A socket of the pod's network, as soon as there is one."""
        while not self._sockets:
            if self._asked == 0 and self._want < _MOST_SOCKETS:
                self._want *= 2
            self.fill()
            self._more.clear()
            await self._more.wait()
        made = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 0, self._sockets.popleft())
        made.setblocking(False)
        if (len(self._sockets) + self._asked) * 2 <= self._want:
            self.fill()
        return made

    def fill(self) -> None:
        """Ask for the sockets that are missing."""
        missing = self._want - len(self._sockets) - self._asked
        if missing > 0:
            self._asked += missing
            self._ask(self.name, missing)

    def add(self, descriptors: list[int]) -> None:
        """Some have come."""
        self._sockets.extend(descriptors)
        self._asked = max(0, self._asked - len(descriptors))
        self._more.set()

    def close(self) -> None:
        """Let go of everything of it."""
        for connection in self.idle:
            connection.writer.close()
        self.idle.clear()
        while self._sockets:
            os.close(self._sockets.popleft())
