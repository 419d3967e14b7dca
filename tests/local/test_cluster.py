"""Whole rollouts over real processes: what is observed, what clients meet, and that nothing stays behind."""

import asyncio
import sys
from pathlib import Path

import pytest

from lameduck.core.instants import SECOND
from lameduck.core.timeline import Event, Milestone, Observation, fold
from lameduck.local.cluster import LocalCluster
from lameduck.local.spec import LocalSpec, Timings

SERVER = str(Path(__file__).parent / "servers" / "server.py")
BRISK = Timings(start=(1, 1, 1), probe_phase=(200, 300, 400), exit_to_gone=(200, 210, 220))


@pytest.mark.rollout
def test_a_rolling_update_replaces_every_pod_and_each_milestone_is_observed_once_in_order(tmp_path: Path) -> None:
    seen: list[Observation] = []

    async def play() -> None:
        spec = LocalSpec(
            (sys.executable, SERVER, "drains"), replicas=2, run_dir=tmp_path, timings=BRISK, grace=5 * SECOND
        )
        cluster = LocalCluster(spec, seen.append)
        try:
            facts = await cluster.start()
            assert facts.replicas == 2
            assert await cluster.disrupt(1)
        finally:
            await cluster.stop()

    asyncio.run(play())
    pods = fold(seen)
    old = [pod for pod in pods.values() if pod.terminated]
    assert len(old) == 2 and len(pods) == 4
    for pod in old:
        order = [
            Milestone.CREATED, Milestone.STARTED, Milestone.LISTENING, Milestone.READY, Milestone.DELETION_REQUESTED,
            Milestone.STOP_SIGNAL, Milestone.EXITED, Milestone.GONE,
        ]  # fmt: skip
        times = [pod.at(milestone) or 0 for milestone in order]
        assert times == sorted(times) and times[0] > 0
        assert pod.exit_code == 0
        assert pod.marks[Milestone.STOP_SIGNAL].detail["caught"] is True
    assert [o.what for o in seen if o.subject == "1"] == [Event.DISRUPTION_REQUESTED, Event.DISRUPTION_COMPLETED]
