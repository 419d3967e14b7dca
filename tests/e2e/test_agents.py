"""Load from inside the cluster: whole, by two agents; and what happens when an agent, or their driver, is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.e2e.rig import Cluster, Shape, command, prove, sleep
from tests.e2e.rows import EDGES, NO_DELAY

AGENT_IMAGE = os.environ.get("E2E_AGENT_IMAGE", "")
AGENTS = "app.kubernetes.io/name=lameduck-agent"
pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.full,
    pytest.mark.skipif(not AGENT_IMAGE, reason="no agent image: E2E_AGENT_IMAGE"),
]
INSIDE = ("--load-from", "cluster", "--agents", "2", "--agent-image", AGENT_IMAGE, "--path", "/50", "--qps", "200")


@pytest.fixture
def good(cluster: Cluster) -> Iterator[str]:
    cluster.deploy("inside", Shape(("sees-off",), hook=sleep(5), spread=True))
    yield "deployment/inside"
    cluster.remove("inside")


def agents(cluster: Cluster) -> list[str]:
    return cluster.kubectl("get", "pods", "-l", AGENTS, "--field-selector=status.phase=Running", "-o", "name").split()


def under_way(cluster: Cluster, target: str, began: str) -> bool:
    return len(agents(cluster)) == 2 and generation(cluster, target) != began


def generation(cluster: Cluster, target: str) -> str:
    return cluster.kubectl("get", target, "-o", "jsonpath={.metadata.generation}")


def wait_for(true: Callable[[], bool], within: float, what: str) -> None:
    end = time.monotonic() + within
    while not true():
        assert time.monotonic() < end, f"{what}: not within {within:.0f} s"
        time.sleep(0.3)


def test_two_agents_prove_what_is_proven_from_outside(
    good: str, cluster: Cluster, tmp_path: Path, keep: Callable[..., None]
) -> None:
    outcome = prove(good, tmp_path, *INSIDE, "--rollouts", "2")
    keep("agents-clean", "drains, preStop sleep 5; two agents in the cluster", outcome)
    assert (outcome.verdict, outcome.proof["failed"]) == ("PROVEN", 0), outcome.fallen
    wait_for(lambda: not agents(cluster), 20, "the agents' end")


def test_two_agents_name_the_cause_of_a_loss(cluster: Cluster, tmp_path: Path, keep: Callable[..., None]) -> None:
    cluster.deploy("inside-bare", Shape(spread=True))
    try:
        outcome = prove("deployment/inside-bare", tmp_path, *INSIDE, "--rollouts", "1")
    finally:
        cluster.remove("inside-bare")
    keep("agents-lossy", "drains, no preStop; two agents in the cluster", outcome)
    assert outcome.verdict == "FAILED"
    assert ("LD101", "LD901") in outcome.causes


@pytest.mark.parametrize(("name", "hook"), [("clean", sleep(5)), ("lossy", None)])
def test_five_hundred_requests_a_second_from_inside(
    name: str, hook: dict[str, object] | None, cluster: Cluster, tmp_path: Path, keep: Callable[..., None]
) -> None:
    """The agents are on time, and nothing is blamed on a race that was a closed listener."""
    cluster.deploy("inside-500", Shape(("sees-off",), hook=hook, spread=True))
    try:
        outcome = prove("deployment/inside-500", tmp_path, *INSIDE, "--qps", "500", "--rollouts", "1")
    finally:
        cluster.remove("inside-500")
    what = f"drains, {'preStop sleep 5' if hook else 'no preStop'}; two agents in the cluster, 500 requests/s"
    keep(f"agents-500-{name}", what, outcome)
    if hook:
        assert (outcome.verdict, outcome.proof["failed"]) == ("PROVEN", 0), outcome.fallen
        return
    assert outcome.verdict == "FAILED"
    assert outcome.fallen == []
    assert outcome.causes <= {NO_DELAY, *EDGES}
    assert outcome.counts[NO_DELAY] >= 0.9 * outcome.proof["failed"]


def test_an_agent_that_is_killed_makes_it_inconclusive_and_never_proven(
    good: str, cluster: Cluster, tmp_path: Path, keep: Callable[..., None]
) -> None:
    began = generation(cluster, good)

    def fault() -> None:
        wait_for(lambda: under_way(cluster, good, began), 120, "the rollout")
        cluster.kubectl("delete", agents(cluster)[0], "--grace-period=0", "--force", "--wait=false")

    thread = threading.Thread(target=fault)
    thread.start()
    try:
        outcome = prove(good, tmp_path, *INSIDE, "--rollouts", "2")
    finally:
        thread.join()
    keep("agents-killed", "drains, preStop sleep 5; one of two agents killed in the middle", outcome)
    assert outcome.verdict == "INCONCLUSIVE"
    assert outcome.code == 3


def test_agents_whose_driver_was_killed_go_by_themselves(good: str, cluster: Cluster, tmp_path: Path) -> None:
    home = {**os.environ, "XDG_STATE_HOME": str(tmp_path)}
    began = generation(cluster, good)
    with (tmp_path / "out").open("w") as out:
        argv = command(good, *INSIDE, "--rollouts", "3", "--run-dir", str(tmp_path / "run"))
        driver = subprocess.Popen(argv, env=home, stdout=out, stderr=out)
        wait_for(lambda: under_way(cluster, good, began) or driver.poll() is not None, 120, "the rollout")
        driver.send_signal(signal.SIGKILL)
        driver.wait()
    sys.stdout.write((tmp_path / "out").read_text())
    assert len(agents(cluster)) == 2
    begun = time.monotonic()
    wait_for(lambda: not agents(cluster), 60, "the agents' end")
    sys.stdout.write(f"agents gone {time.monotonic() - begun:.1f} s after their driver\n")
