"""When a pod's port opens and closes, found out by knocking at it directly.

Law: knock only where something is about to change (a pod that has not listened yet, or one that was told to go), at a
low rate, and close at once. A refused or unanswered knock after an accepted one is the end of the listener, known
to the time between the two; so is a first knock at a pod that had been ready until it was told to go.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress

from lameduck.cluster import Observer
from lameduck.core.instants import MILLISECOND, to_seconds
from lameduck.core.timeline import Milestone, Observation

PERIOD = 25 * MILLISECOND
PATIENCE = 0.25
"""Seconds until a knock counts as unanswered."""
LONGEST = 120.0
"""Seconds that one pod is knocked at."""


class Listeners:
    """Knocks at pods; one task each. Start them with `opening` and `closing`."""

    def __init__(self, port: int, observe: Observer, clock: Callable[[], int]) -> None:
        self._port, self._observe, self._clock = port, observe, clock
        self._tasks: dict[tuple[str, bool], asyncio.Task[None]] = {}

    def opening(self, pod: str, ip: str) -> None:
        """Find out when it first accepts."""
        self._knock(pod, ip, until_open=True)

    def closing(self, pod: str, ip: str, listened_at: int | None) -> None:
        """Find out when it last accepts; ``listened_at`` is when it surely did, None if that is not known (ns)."""
        self._knock(pod, ip, until_open=False, last=listened_at)

    def forget(self, pod: str) -> None:
        """It is gone."""
        for until_open in (True, False):
            task = self._tasks.pop((pod, until_open), None)
            if task is not None:
                task.cancel()

    async def close(self) -> None:
        """No more knocking."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._tasks.clear()

    def _knock(self, pod: str, ip: str, *, until_open: bool, last: int | None = None) -> None:
        if (pod, until_open) not in self._tasks:
            self._tasks[pod, until_open] = asyncio.create_task(self._watch(pod, ip, until_open, last))

    async def _watch(self, pod: str, ip: str, until_open: bool, last: int | None) -> None:
        end = self._clock() + int(LONGEST * 1e9)
        while (now := self._clock()) < end:
            accepted = await self._accepts(ip)
            if accepted is until_open:
                precision = now - last if last is not None else 0
                if until_open or last is not None:
                    what = Milestone.LISTENING if until_open else Milestone.LISTENER_CLOSED
                    self._observe(Observation(now, what, pod, precision, "listener probe"))
                return
            last = now
            await asyncio.sleep(to_seconds(PERIOD))

    async def _accepts(self, ip: str) -> bool:
        loop = asyncio.get_running_loop()
        with (
            socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as knock,
            suppress(OSError, TimeoutError),
        ):
            async with asyncio.timeout(PATIENCE):
                await loop.sock_connect(knock, (ip, self._port))
            return True
        return False
