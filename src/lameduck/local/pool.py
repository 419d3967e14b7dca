"""Sockets that were born in one pod's network, kept ready so that dialling never waits.

Law: `take` costs no system call but the last one on a full pool; the pool asks for more when half of it is gone, and
doubles when it ever ran dry.
"""

from __future__ import annotations

import errno
import os
import socket
from collections import deque
from collections.abc import Callable

from lameduck.local.channel import MOST_DESCRIPTORS

_FEWEST = 4
_FIRST = 64
_MOST = 512


def right_size(files: int, replicas: int) -> int:
    """How many sockets each pod keeps ready, where a process may have so many `files` open (below 0: no limit).

    At most half of them: and of a rollout there are up to twice as many pods as replicas, those that are gone and still
    dialled among them.
    """
    return _FIRST if files < 0 else max(_FEWEST, min(_FIRST, files // (4 * replicas)))


class SocketPool:
    """One pod's sockets. `ask` requests so many more; `wait` blocks a moment until some have come (rarely called)."""

    def __init__(self, ask: Callable[[int], None], wait: Callable[[], None], size: int = _FIRST) -> None:
        self._ask = ask
        self._wait = wait
        self._want = size
        self._asked = 0
        self._ready: deque[int] = deque()

    def fill(self) -> None:
        """Ask for what is missing, unless it is on its way."""
        missing = self._want - len(self._ready) - self._asked
        if missing > 0:
            self._asked += missing
            for start in range(0, missing, MOST_DESCRIPTORS):
                self._ask(min(MOST_DESCRIPTORS, missing - start))

    def add(self, descriptors: list[int]) -> None:
        """Some have come."""
        self._ready.extend(descriptors)
        self._asked = max(0, self._asked - len(descriptors))

    def take(self) -> socket.socket:
        """An unconnected, non-blocking TCP socket. Raises `OSError` (ENOBUFS) if there is none to be had."""
        if not self._ready:
            self._want = min(_MOST, self._want * 2)
            self.fill()
            self._wait()
            if not self._ready:
                raise OSError(errno.ENOBUFS, "no socket from the pod's network in time")
        taken = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 0, self._ready.popleft())
        taken.setblocking(False)
        self._top_up()
        return taken

    def hand_over(self, count: int) -> list[int]:
        """Up to so many descriptors, only what is there: for another process. It asks for more like `take`."""
        if not self._ready:
            self._want = min(_MOST, self._want * 2)
        given = [self._ready.popleft() for _ in range(min(count, len(self._ready)))]
        self._top_up()
        return given

    def _top_up(self) -> None:
        if (len(self._ready) + self._asked) * 2 <= self._want:
            self.fill()

    def close(self) -> None:
        """Give all back."""
        while self._ready:
            os.close(self._ready.popleft())
