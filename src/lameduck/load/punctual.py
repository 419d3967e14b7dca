"""Asking the system to wake us on time, while the load is on.

Law: a busy machine may delay the target, never the clock. Where the system allows it (root, or CAP_SYS_NICE) every
thread of this process gets the lowest real-time priority for as long as the load lasts; whatever it starts meanwhile
does not inherit it. Elsewhere nothing changes, and the gates judge what came of it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def punctual() -> Iterator[bool]:
    """Real-time priority for the threads that exist now, until the end of the block; whether it was granted."""
    threads = _threads() if hasattr(os, "sched_setscheduler") else []
    granted = bool(threads) and all(_ask(thread, realtime=True) for thread in threads)
    try:
        yield granted
    finally:
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
