import os
import subprocess
import sys

import pytest

from lameduck.load.punctual import punctual


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
