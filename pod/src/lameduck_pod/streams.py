"""Long-lived ASGI connections: waiting for the client, or for the word that the server goes, whichever is first.

Law: only asyncio is raced; under another loop (trio) a stream is told at its next message.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

T = TypeVar("T")


class Going:
    """Whether the server goes; `tell` may be called from any thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop | None, act: Callable[[], Awaitable[None]] | None) -> None:
        self.now = False
        self.loop, self.act = loop, act
        self.future: asyncio.Future[None] | None = loop.create_future() if loop else None
        self.task: asyncio.Future[Any] | None = None

    def tell(self) -> None:
        """The server goes."""
        if self.loop is None:
            self.now = True
            return
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self.loop.call_soon_threadsafe(self._told)

    def _told(self) -> None:
        self.now = True
        if self.future is not None and not self.future.done():
            self.future.set_result(None)
        if self.act is not None:
            self.task = asyncio.ensure_future(_quietly(self.act()))

    async def first(self, source: Callable[[], Awaitable[T]]) -> T | None:
        """What `source` gives, or None if the server goes before."""
        if self.now:
            return None
        if self.future is None:
            return await source()
        task: asyncio.Future[T] = asyncio.ensure_future(source())
        waiting: set[asyncio.Future[Any]] = {task, self.future}
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not task.done():
                task.cancel()
        return task.result() if task.done() else None


async def _quietly(doing: Awaitable[None]) -> None:
    with contextlib.suppress(Exception):  # its client has gone before us
        await doing


def going(act: Callable[[], Awaitable[None]] | None = None) -> Going:
    """For the running loop; `act` is done when it is told."""
    try:
        return Going(asyncio.get_running_loop(), act)
    except RuntimeError:
        return Going(None, act)
