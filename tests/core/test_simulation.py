"""A rollout in virtual time, of known delays: what comes out can be reckoned by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from lameduck.core import path, rolling
from lameduck.core.instants import MILLISECOND, SECOND
from lameduck.core.path import Kind, Via
from lameduck.core.podspec import ContainerSpec, Delays, Hook, HookKind, PodSpec
from lameduck.core.probes import ProbeSpec
from lameduck.core.rolling import Strategy
from lameduck.core.simulation import App, Rollout, Simulation
from lameduck.core.timeline import Milestone

MS = MILLISECOND
ALONE = Strategy(max_surge=0, max_unavailable=1)


def rolled(app: App | None = None, *, sleep: int | None = None, grace: int = 30, **asked: Any) -> Rollout:
    """One rollout with the median delays: a controller that reacts after 30 ms, a runner that is free."""
    hook = None if sleep is None else Hook(HookKind.SLEEP, seconds=sleep)
    only = ContainerSpec(readiness=ProbeSpec() if asked.get("probe", True) else None, pre_stop=hook)
    workload = rolling.Deployment("app", asked.get("replicas", 3), asked.get("strategy", Strategy()))
    simulation = Simulation(
        workload=workload,
        template=PodSpec((only,), grace * SECOND),
        tables={str(via): path.table(via, SECOND, 0) for via in asked.get("ways", [Via()])},
        app=app or App(),
        delays=lambda: replace(Delays(), start=asked.get("start", 520) * MS),
        controller=lambda: 30 * MS,
    )
    assert simulation.start()
    simulation.rest(5 * SECOND)
    return simulation.roll()


def test_without_a_pre_stop_the_signal_comes_at_once_and_the_first_removal_waits_out_the_runners_second() -> None:
    rollout = rolled()
    assert rollout.completed
    assert [ending.stop_signal - ending.deletion for ending in rollout.endings if ending.stop_signal] == [9 * MS] * 3
    first = rollout.endings[0]
    # The new pod's slice starts a sync (2 + 35 ms), a second passes, the next sync takes 35 ms; the removal came
    # 30 - 9 + 15 ms after that slice.
    assert first.lag("service") == (2 + 35 + 1000 + 35 - (30 - 9 + 15)) * MS
    assert first.unheard("service") == first.lag("service") + (15 - 9) * MS
    assert first.window("service") == (100 + 15 + 3000) * MS


def test_what_is_missed_is_the_share_of_dead_pods_in_the_table_over_time() -> None:
    one = rolled(replicas=1, start=5_000)  # surge 1: the new pod and the old one are in the table
    (ending,) = one.endings
    assert one.nobody["service"] == 0
    assert one.stopped["service"] == pytest.approx(ending.unheard("service") / 2, rel=0.01)


def test_a_pre_stop_that_outlasts_the_lag_misses_nothing() -> None:
    assert rolled(sleep=1).missed("service") > 0
    assert rolled(sleep=2).missed("service") == 0


def test_each_way_has_a_lag_of_its_own() -> None:
    ways = [Via(), Via(Kind.INGRESS), Via(Kind.SLOW_LB, 120 * SECOND)]
    rollout = rolled(sleep=3, ways=ways)
    worst = {str(via): max(ending.lag(str(via)) for ending in rollout.endings) for via in ways}
    assert worst["service"] < 1.1 * SECOND < worst["ingress"] < 2.1 * SECOND
    assert worst["slow-lb:120"] == 120 * SECOND
    assert [rollout.missed(str(via)) > 0 for via in ways] == [False, False, True]


def test_an_app_that_never_hears_the_signal_serves_until_it_is_killed() -> None:
    rollout = rolled(App(heeds=False), grace=5)
    assert [ending.pod.exit_code for ending in rollout.endings] == [137] * 3
    assert {ending.deaf - ending.deletion for ending in rollout.endings} == {5 * SECOND + 9 * MS}
    assert rollout.missed("service") == 0


def test_one_replica_without_surge_leaves_nobody_and_only_kube_proxy_has_a_last_resort() -> None:
    ways = [Via(), Via(Kind.INGRESS)]
    asked = {"replicas": 1, "strategy": ALONE, "ways": ways, "start": 3_000}
    assert rolled(**asked).nobody["service"] > 2 * SECOND
    held = rolled(**asked, sleep=8)
    assert held.missed("service") == 0
    assert held.nobody["ingress"] > 1 * SECOND
    assert held.endings[0].lag("service") == 0  # it was meant


def test_without_a_readiness_probe_connections_meet_a_pod_that_does_not_listen_yet() -> None:
    slow = App(starts=3 * SECOND)
    assert rolled(slow, probe=False, sleep=5).nobody["service"] > SECOND
    assert rolled(slow, sleep=5).nobody["service"] == 0


def test_milestones_come_in_their_order() -> None:
    order = [Milestone.DELETION_REQUESTED, Milestone.STOP_SIGNAL, Milestone.EXITED, Milestone.GONE]
    for ending in rolled(sleep=2).endings:
        marks = [ending.pod.marks[milestone].at for milestone in order]
        assert marks == sorted(marks)
