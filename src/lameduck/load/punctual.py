"""Asking the system to wake us on time, while the load is on.

Law: a busy machine may delay the target, never the clock. Where the system allows it (root, or CAP_SYS_NICE) every
thread of this process gets the lowest real-time priority for as long as the load lasts; whatever it starts meanwhile
does not inherit it. Anybody else asks for short turns (Linux 6.12 and later, `sched_setattr`): whoever wants little at
a time interrupts those who want much, for no greater share. Elsewhere nothing changes, and the gates judge what came of
it.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

TURN = 100_000
"""The shortest turn that the kernel grants (ns); without being asked it gives some milliseconds."""
_SETATTR = {"x86_64": 314, "aarch64": 274}.get(platform.machine(), 0) if sys.platform == "linux" else 0
"""The number of the system call `sched_setattr`; 0 where it is not known."""
_ATTR = struct.Struct("IIQiIQQQ")
"""``struct sched_attr``: size, policy, flags, nice, priority, runtime, deadline, period."""


@contextmanager
def punctual() -> Iterator[bool]:
    """Real-time priority for the threads that exist now, until the end of the block; whether it was granted."""
    threads = _threads() if hasattr(os, "sched_setscheduler") else []
    granted = bool(threads) and all(_ask(thread, realtime=True) for thread in threads)
    if not granted:
        _take_turns(threads, TURN)
    try:
        yield granted
    finally:
        if not granted:
            _take_turns(threads, 0)
        for thread in threads if granted else ():
            with suppress(OSError):  # it has ended meanwhile
                _set(thread, realtime=False)


def _threads() -> list[int]:
    return [int(task.name) for task in Path("/proc/self/task").iterdir()] if Path("/proc/self/task").is_dir() else []


def _ask(thread: int, *, realtime: bool) -> bool:
    try:
        _set(thread, realtime=realtime)
    except OSError:
        return False
    return True


def _set(thread: int, *, realtime: bool) -> None:
    policy = os.SCHED_RR | os.SCHED_RESET_ON_FORK if realtime else os.SCHED_OTHER
    os.sched_setscheduler(thread, policy, os.sched_param(1 if realtime else 0))


def _take_turns(threads: list[int], length: int) -> None:
    """Turns of `length` (ns) for these threads, 0 for the system's own; an older kernel takes no notice."""
    call = ctypes.CDLL(None).syscall
    for thread in threads if _SETATTR else ():
        with suppress(OSError):  # it has ended meanwhile
            nice = os.getpriority(os.PRIO_PROCESS, thread)
            attr = _ATTR.pack(_ATTR.size, os.SCHED_OTHER, 0, nice, 0, length, 0, 0)
            call(_SETATTR, thread, ctypes.create_string_buffer(attr, _ATTR.size), 0)
