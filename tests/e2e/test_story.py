"""The story in numbers: 500 requests a second, five rollouts, without a preStop and with one; five times each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.e2e.rig import Cluster, Shape, prove, sleep

pytestmark = [pytest.mark.timeout(400), pytest.mark.full]
FLAGS = ("--qps", "500", "--rollouts", "5", "--path", "/20")


@pytest.mark.parametrize("turn", range(1, 6))
def test_without_a_pre_stop_every_run_fails_and_names_it(
    turn: int, cluster: Cluster, tmp_path: Path, keep: Callable[..., None]
) -> None:
    name = f"bare-{turn}"
    cluster.deploy(name, Shape(("sees-off",)))
    try:
        outcome = prove(f"deployment/{name}", tmp_path, *FLAGS)
    finally:
        cluster.remove(name)
    keep(f"story-bare-{turn}", "drains, no preStop", outcome, flags=FLAGS)
    assert outcome.verdict == "FAILED"
    counts = outcome.counts
    # What was swallowed leaves entries in the connection table: ports used again within two minutes meet a dead pod.
    assert counts[("LD101", "LD901")] + counts.get(("LD914", "LD914"), 0) >= 0.9 * outcome.proof["failed"]
    assert counts[("LD101", "LD901")] == max(counts.values())
    assert ("LD999", "LD999") not in counts


@pytest.mark.parametrize("turn", range(1, 6))
def test_with_a_pre_stop_every_run_is_proven(
    turn: int, cluster: Cluster, tmp_path: Path, keep: Callable[..., None]
) -> None:
    name = f"patient-{turn}"
    cluster.deploy(name, Shape(("sees-off",), hook=sleep(5)))
    try:
        outcome = prove(f"deployment/{name}", tmp_path, *FLAGS)
    finally:
        cluster.remove(name)
    keep(f"story-prestop-{turn}", "drains, preStop sleep 5", outcome, flags=FLAGS)
    assert (outcome.verdict, outcome.proof["failed"]) == ("PROVEN", 0), outcome.fallen
    assert outcome.proof["rollouts"]["completed"] == 5
