"""Holds a stop signal back from the server that this process runs, and hands it on later.

How: whatever handler the server has put in place is replaced by ours and called by ours when the time has come, in the
main thread, by a signal directed at that thread. An asyncio loop listens to the wake-up descriptor instead of to the
handler, so that is replaced too: a thread passes on every signal but the one that is held. Servers install their
handlers at different moments (before the app is imported, after it, after the ASGI lifespan, after a fork), so `check`
is called again and again, while serving, and takes over whatever is new; where it is called outside the main thread it
knocks there with a signal of its own.

Laws: SIGINT is never touched; a child that this process forks and that is not the server keeps the old meaning of the
signal; a handler that cannot be put back (installed from C) is left alone.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
from importlib import import_module

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType
    from typing import Any

KNOCK = signal.SIGRTMIN + 11
KNOCKS = 8
"""Somebody who takes the handler back more often than this means it."""


WAKE = b"\0"
"""What stands for the held signal on a loop's descriptor: uvloop lets Python's handlers run only when something comes
there, and it and asyncio skip this byte."""


def real(module: str, name: str) -> Any:
    """A function as it was before gevent patched it: waiting happens in real threads."""
    monkey = sys.modules.get("gevent.monkey")
    if monkey is not None:
        return monkey.get_original(module, name)
    return getattr(import_module(module), name)


def start_thread(function: Callable[[], None]) -> None:
    """A real daemon thread, also under gevent; may be called in a signal handler."""
    real("_thread", "start_new_thread")(function, ())


class Hold:
    """Holds `number` back; calls `heard` in the main thread, inside the handler, each time it comes."""

    def __init__(self, heard: Callable[[], None], number: int = signal.SIGTERM) -> None:
        self.heard, self.number = heard, number
        self.handler: Callable[[int, FrameType | None], None] = self._handle
        self.previous: Any = None
        self.passing = False
        self.pid = 0
        self.main = 0
        self.instead: Callable[[], object] | None = None
        """A stop for a server that is stopped by a call."""
        self.knocks = 0
        self.door = False
        self.wakeup: socket.socket | None = None
        self.ours = self.theirs = -1
        self.obstacle = ""
        """Why the signal cannot be held, for people; "" while it is."""

    @property
    def held(self) -> bool:
        """Whether the signal is held back in this process."""
        return self.pid == os.getpid() and not self.obstacle

    def open_door(self) -> None:
        """Make it possible to take over later from another thread. Only the main thread can; others change nothing."""
        with contextlib.suppress(ValueError):  # raised outside the main thread
            if not self.door and signal.getsignal(KNOCK) == signal.SIG_DFL:
                signal.signal(KNOCK, self._answer)
                self.door = True
                self.main = real("_thread", "get_ident")()

    def check(self) -> None:
        """Take over the handler, and the loop's descriptor, if someone else has them. Costs 0.1 µs if not."""
        if self.passing:
            return
        current = signal.getsignal(self.number)
        mine = current is self.handler and self.pid == os.getpid()
        if not mine and (current is None or current == signal.SIG_IGN):
            self.obstacle = "the signal is ignored" if current else "its handler is not Python's"
            return
        try:
            self._take(current)
        except ValueError:  # not the main thread
            if not mine:
                self._want_in()

    def pass_on(self) -> None:
        """Let the server have it: its own handler runs in the main thread, or `instead` in this one."""
        self.passing = True
        if self.instead is not None:
            self.instead()
            return
        signal.pthread_kill(self.main, self.number)

    @property
    def default(self) -> bool:
        """Whether the server has no stop of its own."""
        return self.instead is None and not callable(self.previous)

    def _take(self, current: Any) -> None:
        """Raises ValueError outside the main thread, where nothing has changed then."""
        signal.signal(self.number, self.handler)
        if current is not self.handler:
            self.previous = current
        if self.pid != os.getpid():
            self.pid, self.wakeup, self.theirs = os.getpid(), None, -1
        self.main = real("_thread", "get_ident")()
        self.obstacle = ""
        self._filter()

    def _filter(self) -> None:
        if self.wakeup is None:
            ours, self.wakeup = socket.socketpair()
            self.wakeup.setblocking(False)
            self.ours = ours.detach()
        theirs = signal.set_wakeup_fd(self.wakeup.fileno())
        if theirs == -1:  # no loop listens
            signal.set_wakeup_fd(-1)
        elif theirs != self.wakeup.fileno():
            if self.theirs == -1:
                start_thread(self._forward)
            self.theirs = theirs

    def _forward(self) -> None:
        while True:
            numbers = os.read(self.ours, 4096)
            if not self.passing:
                numbers = numbers.replace(bytes([self.number]), WAKE)
            with contextlib.suppress(OSError):  # full, or its loop is closed
                os.write(self.theirs, numbers)

    def knock(self) -> None:
        """Have `check` done in the main thread, from any thread."""
        if self.door:
            with contextlib.suppress(ProcessLookupError):
                signal.pthread_kill(self.main, KNOCK)

    def _want_in(self) -> None:
        self.knocks += 1
        if not self.door:
            self.obstacle = "it is not the main thread that made the layer"
        elif self.knocks > KNOCKS:
            self.obstacle = "someone took it back"
        else:
            self.knock()

    def _answer(self, _number: int, _frame: FrameType | None) -> None:
        self.check()

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.pid != os.getpid():  # a child of the server's
            self._as_before(number, frame)
        elif self.passing:
            if callable(self.previous):
                self.previous(number, frame)
        else:
            self.heard()

    def _as_before(self, number: int, frame: FrameType | None) -> None:
        if callable(self.previous):
            self.previous(number, frame)
            return
        signal.signal(number, self.previous)
        os.kill(os.getpid(), number)
