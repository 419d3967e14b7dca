"""The worker of one pod, against what was seen on a real kubelet. Times in ms; relists at 1000, 2008, 3016, 4024 …"""

from __future__ import annotations

import pytest

from lameduck.core.instants import MILLISECOND as MS
from lameduck.core.instants import SECOND
from lameduck.core.pod import Created, Deleted, Pod, Probed, Signal, Started, Tick, due, step
from lameduck.core.podspec import ContainerSpec, Delays, PodSpec
from lameduck.core.podworker import Worker, done, free, synced, woken
from lameduck.core.probes import ProbeSpec


def worker(*events: tuple[str, int]) -> Worker:
    state = Worker(relist=1000 * MS)
    for what, at in events:
        state = {"synced": synced, "woken": woken}[what](state, at * MS)
    return state


STARTED = ("synced", 520)
FIRST = ("woken", 1000)


@pytest.mark.parametrize(
    ("events", "now", "freed", "next_done"),
    [
        ((), 300, 300, 300),  # nothing was ever synced
        ((STARTED,), 700, 1000, 1000),
        ((STARTED,), 1000, 1000, 1000),
        ((STARTED, FIRST), 1001, 2008, 2008),  # noticed, and synced at once
        ((STARTED, FIRST), 2008, 2008, 2008),
        (
            (STARTED, FIRST, FIRST),
            1500,
            3016,
            2008,
        ),  # the second event waits for the second relist, the end for one more
        ((STARTED, FIRST, FIRST), 2500, 3016, 3016),
        ((STARTED, FIRST, FIRST), 3100, 3100, 3100),
        ((STARTED, FIRST, FIRST, ("woken", 1014)), 1650, 3016, 2008),  # an end drives out what had not begun
        ((STARTED, FIRST, FIRST, ("woken", 1014)), 2780, 4024, 3016),
        ((STARTED, FIRST, FIRST, ("woken", 1014)), 3500, 4024, 4024),
        ((STARTED, FIRST, FIRST, ("woken", 1014)), 4030, 4030, 4030),
        ((STARTED, FIRST, FIRST, ("woken", 1014)), 90_000, 90_000, 90_000),
    ],
)
def test_what_comes_between_two_relists_waits(
    events: tuple[tuple[str, int], ...], now: int, freed: int, next_done: int
) -> None:
    assert (free(worker(*events), now * MS), done(worker(*events), now * MS)) == (freed * MS, next_done * MS)


def test_without_a_rhythm_nothing_waits() -> None:
    assert free(woken(woken(synced(Worker(None), 5), 5), 5), 5) == 5


@pytest.mark.parametrize(
    ("deleted", "signal"),
    [(1680, 3016), (2780, 4024), (4030, 4030), (60_000, 60_000)],
)
def test_a_young_pods_stop_signal_is_late_as_measured_and_an_old_ones_is_not(deleted: int, signal: int) -> None:
    """The truth table's row i0/new: 1.3 s after the deletion, at 1.6 and 3.1 s of age; at once at any other time."""
    delays = Delays(relist=1000 * MS, probe_phase=12 * MS, deletion_to_stop=9 * MS)
    pod = Pod("p", PodSpec((ContainerSpec(readiness=ProbeSpec()),)), delays)
    pod, _ = step(pod, Created(), 0)
    pod, _ = step(pod, Tick(), 520 * MS)
    pod, _ = step(pod, Started(), 520 * MS)
    while (at := due(pod)) is not None and at <= 1012 * MS:
        pod, _ = step(pod, Tick(), at)
    pod, _ = step(pod, Probed(True), 1014 * MS)
    assert pod.ready
    pod, _ = step(pod, Deleted(), deleted * MS)
    for _ in range(50):
        at = due(pod)
        assert at is not None
        pod, effects = step(pod, Tick(), at)
        if any(isinstance(effect, Signal) for effect in effects):
            break
    assert at == (signal + 9) * MS


@pytest.mark.parametrize(("second", "first"), [(0, 1012), (60, 2012), (900, 1012), (None, 2012)])
def test_an_initial_delay_counts_from_the_whole_second_in_which_the_container_started(
    second: int | None, first: int
) -> None:
    """Measured with a delay of 1 s: ready 0.92 s after the start, unless that second had just begun: then 1.9 s."""
    delays = Delays(probe_phase=932 * MS, second=None if second is None else second * MS)
    pod = Pod("p", PodSpec((ContainerSpec(readiness=ProbeSpec(initial_delay=SECOND)),)), delays)
    for event, at in ((Created(), -440), (Tick(), 80), (Started(), 80)):
        pod, _ = step(pod, event, at * MS)
    probe = pod.containers[0].readiness
    assert probe is not None and probe.next == first * MS
