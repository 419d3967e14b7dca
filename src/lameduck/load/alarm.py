"""Waking the event loop at an instant, to the microsecond.

Law: event loops count in milliseconds, which is late for a rate of thousands per second; a timer descriptor
(timerfd_create(2), Linux) is exact. Where there is none, the loop's own timer has to do.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import sys
from collections.abc import Callable

from lameduck.core.instants import SECOND, to_seconds

SPIN = 60_000
"""An instant nearer than this (ns) is awaited by further turns of the loop: setting a timer would take as long."""

_CLOCK_MONOTONIC = 1
_FLAGS = os.O_NONBLOCK | getattr(os, "O_CLOEXEC", 0)


class _TimerSpec(ctypes.Structure):
    _fields_ = (("interval", ctypes.c_long * 2), ("value", ctypes.c_long * 2))


class Alarm:
    """Calls `callback` once at or after each instant it was set to; a new setting replaces the old one."""

    def __init__(self, loop: asyncio.AbstractEventLoop, callback: Callable[[], None], clock: Callable[[], int]) -> None:
        self._loop = loop
        self._callback = callback
        self._clock = clock
        self._handle: asyncio.Handle | None = None
        self._libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
        self._fd = self._libc.timerfd_create(_CLOCK_MONOTONIC, _FLAGS) if self._libc else -1
        self._spec = _TimerSpec()
        if self._fd >= 0:
            loop.add_reader(self._fd, self._on_expired)

    def set(self, instant: int) -> None:
        """Call back at this instant of the clock (ns)."""
        wait = instant - self._clock()
        if wait < SPIN:
            self._handle = self._loop.call_soon(self._callback)
        elif self._libc is not None and self._fd >= 0:
            self._spec.value[:] = divmod(wait, SECOND)
            self._libc.timerfd_settime(self._fd, 0, ctypes.byref(self._spec), None)
        else:
            self._handle = self._loop.call_later(to_seconds(wait), self._callback)

    def close(self) -> None:
        """Call back no more."""
        if self._handle is not None:
            self._handle.cancel()
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1

    def _on_expired(self) -> None:
        try:
            os.read(self._fd, 8)
        except BlockingIOError:
            return
        self._callback()
