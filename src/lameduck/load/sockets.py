"""WebSockets held open through the disruptions: opened through the Service, watched to their end, opened again.

Law: it observes and never decides. Each held socket is answered, pinged each second, and when it ends, its end is told
with the close code that came (0: none); then it is opened again, by a new route, after a short jitter, as a good client
does. The protocol is `websockets`'s.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import ssl
import time
from collections.abc import Callable
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from lameduck.cluster import Dialer, Observer, Route
from lameduck.core.errors import EnvironmentFault
from lameduck.core.plan import SocketPlan
from lameduck.core.timeline import Event, Observation

PING_EVERY = 1.0
SILENCE = 10.0
"""Without an answer to a ping for so long (seconds) a socket counts as ended."""
JITTER = 0.1
"""A client comes back after up to so long (seconds), so that not all do at once."""
PATIENCE = 5.0
"""For one attempt to open (seconds)."""


class HeldSockets:
    """The held WebSockets of one run; with a TLS context, ``server_name`` is asked for and checked.

    ``open`` opens all of them, ``hold`` watches them until it is cancelled. Both run on the load's event loop.
    """

    def __init__(
        self,
        plan: SocketPlan,
        dialer: Dialer,
        observe: Observer,
        *,
        host: str,
        served_by_header: str = "x-served-by",
        tls: ssl.SSLContext | None = None,
        server_name: str = "",
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._plan, self._dialer, self._observe, self._clock = plan, dialer, observe, clock
        self._uri = f"{'wss' if tls else 'ws'}://{host}{plan.path}"
        self._tls: dict[str, Any] = {"ssl": tls, "server_hostname": server_name} if tls else {}
        self._served_by = served_by_header
        self._open: list[_Socket] = []

    async def open(self) -> None:
        """Open every one. Raises `EnvironmentFault` when one cannot be opened: nothing has been disrupted yet."""
        for number in range(self._plan.count):
            try:
                self._open.append(await self._dial(number))
            except _NotOpened as error:
                await self.close()
                raise EnvironmentFault(
                    f"no WebSocket at {self._plan.path}: {error}; say the right path with --socket-path"
                ) from None

    async def hold(self) -> None:
        """Watch and reopen until cancelled; then close what is open, in good order."""
        try:
            async with asyncio.TaskGroup() as group:
                for held in list(self._open):
                    group.create_task(self._keep(held))
        finally:
            await self.close()

    async def close(self) -> None:
        """Close what is open, which is no end of anybody's making but ours."""
        opened, self._open = self._open, []
        await asyncio.gather(*(held.connection.close() for held in opened), return_exceptions=True)

    async def _keep(self, held: _Socket) -> None:
        while True:
            code, reason = await held.ended()
            ended = self._clock()
            self._open.remove(held)
            detail = {
                "number": held.number,
                "opened": held.opened,
                "code": code,
                "reason": reason[:120],
                "limit": self._plan.back_within,
            }
            self._observe(Observation(ended, Event.SOCKET_ENDED, held.pod, source="engine", detail=detail))
            held = await self._again(held.number)
            self._open.append(held)

    async def _again(self, number: int) -> _Socket:
        """Open it again, however often that fails."""
        while True:
            await asyncio.sleep(random.uniform(0, JITTER))
            with contextlib.suppress(_NotOpened):
                return await self._dial(number)

    async def _dial(self, number: int) -> _Socket:
        route = self._dialer.dial()
        try:
            async with asyncio.timeout(PATIENCE):
                held = await self._handshake(number, route)
        except TimeoutError:
            raise _NotOpened(f"no answer within {PATIENCE:.0f} s") from None
        detail = {"number": number}
        self._observe(Observation(held.opened, Event.SOCKET_OPENED, held.pod, source="engine", detail=detail))
        return held

    async def _handshake(self, number: int, route: Route) -> _Socket:
        if route.socket is None:
            raise _NotOpened("the Service has no usable endpoint")
        try:
            await asyncio.get_running_loop().sock_connect(route.socket, route.address)
            connection = await connect(
                self._uri,
                sock=route.socket,
                **self._tls,
                proxy=None,
                compression=None,
                ping_interval=PING_EVERY,
                ping_timeout=SILENCE,
                close_timeout=1,
            )
        except (OSError, InvalidHandshake, EOFError) as error:
            route.socket.close()
            raise _NotOpened(str(error) or type(error).__name__) from None
        except asyncio.CancelledError:
            route.socket.close()
            raise
        answer = connection.response
        pod = route.pod or (answer.headers.get(self._served_by, "") if answer else "")
        return _Socket(number, pod, self._clock(), connection)


class _NotOpened(Exception):
    """An attempt to open a WebSocket came to nothing."""


class _Socket:
    """One open WebSocket."""

    def __init__(self, number: int, pod: str, opened: int, connection: ClientConnection) -> None:
        self.number, self.pod, self.opened, self.connection = number, pod, opened, connection

    async def ended(self) -> tuple[int, str]:
        """Read until it ends: the code of the peer's close frame (0: none came), and why, in words."""
        try:
            while True:
                await self.connection.recv()
        except ConnectionClosed as closed:
            if closed.rcvd is not None:
                return closed.rcvd.code, closed.rcvd.reason
            if closed.sent is not None:
                return 0, f"no answer to a ping for {SILENCE:.0f} s"
            cause = closed.__cause__
            return 0, "the connection was reset" if isinstance(cause, ConnectionResetError) else "the connection ended"
