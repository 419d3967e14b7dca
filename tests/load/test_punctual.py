import ctypes
import os
import platform
import re
import struct
import subprocess
import sys

import pytest

from lameduck.load.punctual import TURN, punctual


def allowed() -> bool:
    try:
        os.sched_setscheduler(0, os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(1))
    except OSError:
        return False
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    return True


def policy() -> int:
    return os.sched_getscheduler(0) & ~os.SCHED_RESET_ON_FORK


@pytest.mark.skipif(not allowed(), reason="this user may not ask for real-time priority")
def test_priority_lasts_for_the_block_alone_and_no_child_inherits_it() -> None:
    with punctual() as granted:
        assert granted
        assert policy() == os.SCHED_RR
        child = [sys.executable, "-c", "import os; print(os.sched_getscheduler(0))"]
        assert subprocess.check_output(child, text=True).strip() == str(os.SCHED_OTHER)
    assert policy() == os.SCHED_OTHER


def test_without_the_right_nothing_changes_and_the_block_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    with punctual() as granted:
        assert not granted
    assert policy() == os.SCHED_OTHER


def turn() -> int:
    """The length (ns) of this thread's turns, as the kernel tells it."""
    attr = ctypes.create_string_buffer(48)
    ctypes.CDLL(None).syscall({"x86_64": 315, "aarch64": 275}[platform.machine()], 0, attr, 48, 0)
    return int(struct.unpack("IIQiIQQQ", attr.raw)[5])


@pytest.mark.skipif(
    sys.platform != "linux"
    or tuple(map(int, re.findall(r"\d+", platform.release())[:2])) < (6, 12)
    or platform.machine() not in {"x86_64", "aarch64"},
    reason="turns can be chosen from Linux 6.12 on",
)
def test_whoever_may_not_have_priority_takes_short_turns_for_the_block_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    usual, nice = turn(), os.getpriority(os.PRIO_PROCESS, 0)
    with punctual():
        assert turn() == TURN < usual
        assert os.getpriority(os.PRIO_PROCESS, 0) == nice
    assert turn() == usual
