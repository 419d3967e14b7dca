"""The pace of looking."""

from __future__ import annotations

import time

from lameduck_pod import quiet
from lameduck_pod.journal import Journal
from lameduck_pod.quiet import Look
from lameduck_pod.watch import EVERY, SHARE, Watch


class Sensor:
    """One whose look takes so long of the processor."""

    how, problems, ports = "nothing", (), frozenset()

    def __init__(self, cost: int) -> None:
        self.cost = cost

    def look(self, reported: int | None) -> Look:
        assert reported is None
        end = time.thread_time_ns() + self.cost
        while time.thread_time_ns() < end:
            pass
        return Look()

    def listeners(self) -> list[int]:
        return []

    def close(self) -> None:
        pass


def pause(cost: int) -> int:
    watch = Watch(quiet.Rules(), lambda: Sensor(cost), Journal("drain", "none"), token=f"pace-{cost}")
    watch.start(0, 10 * EVERY)
    watch.look(0)
    due = watch.due
    watch.stop()
    assert due is not None
    return due


def test_it_looks_each_100_ms_and_less_often_where_looking_is_dear() -> None:
    assert pause(0) == EVERY
    assert pause(50_000_000) >= SHARE * 50_000_000 > EVERY
