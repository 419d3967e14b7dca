"""Eight rows of the truth table on the local cluster, one rollout or two each; bench/fidelity.py runs them all."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from tests.fidelity.compare import Measured, differences, truth
from tests.fidelity.setups import run

pytestmark = [pytest.mark.rollout, pytest.mark.timeout(120)]


ONE_ROLLOUT = 5.0
"""A single rollout scatters more than the mean of three, for which the rule's factor is 3 (bench/fidelity.py)."""


@pytest.mark.parametrize("row", ["b/keep", "b/new", "bs/new", "c/new", "d1/new", "d2/new", "h/new", "kb/new"])
def test_a_row_agrees_with_the_real_cluster(tmp_path: Path, row: str) -> None:
    for attempt in range(2):
        local = run(row, tmp_path / f"run{attempt}", rollouts=2 if row.startswith("k") else 1)
        sys.stdout.write(f"{local}\n")
        if local.punctual:  # else the machine was busy, and nothing was measured
            break
    found = differences(row, truth()[row], local, ONE_ROLLOUT)
    told = [each for each in found if not each.startswith("start to ready")]
    if not local.punctual:  # both times: what does not hang on the load is still asked
        told = [each for each in told if each.startswith("exit code")]
    assert not told  # one rollout's first pod starts at any phase: its median of three says nothing


ROW = {"requests": 9, "terminations": 9, "before": {}, "exit_codes": {"0": 9}, "rollout_s": 4.0}


def row(median_ms: dict[str, float] | None = None, **kinds: int) -> Measured:
    per_rollout = [{kind.replace("_", " "): count for kind, count in kinds.items()}] * 3
    return Measured(**ROW, per_rollout=per_rollout, median_ms=median_ms or {})


@pytest.mark.parametrize(
    ("real", "local", "agree"),
    [
        (row(refused=60), row(refused=20), True),
        (row(refused=60), row(refused=19), False),
        (row(refused=60), row(refused=180), True),
        (row(refused=60), row(refused=181), False),
        (row(refused=19), row(refused=4), True),
        (row(refused=19), row(refused=34), True),
        (row(refused=19), row(refused=35), False),
        (row(), row(refused=1), False),
        (row(refused=60), row(refused=60, closed=1), False),
        (row(timeout_at_connect=50, unreachable=10), row(timeout_at_connect=60), True),
        (row({"start to ready": 100.0}), row({"start to ready": 149.0}), True),
        (row({"start to ready": 100.0}), row({"start to ready": 151.0}), False),
        (row({"start to ready": 1000.0}), row({"start to ready": 1199.0}), True),
        (row({"start to ready": 1000.0}), row({"start to ready": 1201.0}), False),
    ],
)
def test_the_rules_of_agreement(real: Measured, local: Measured, agree: bool) -> None:
    assert (not list(differences("x/new", real, local))) == agree


def test_rows_that_assert_no_verdict_still_assert_exit_codes_and_times() -> None:
    assert not list(differences("kd2/new", row(), row(refused=9)))
    other = Measured(**{**ROW, "exit_codes": {"137": 9}}, per_rollout=[{}], median_ms={})
    assert len(list(differences("kd2/new", row(), other))) == 2


def test_a_load_that_was_late_says_nothing() -> None:
    late = Measured(**ROW, per_rollout=[{}], median_ms={}, punctual=False)
    assert list(differences("c/new", row(), late)) == ["the load was late or thin: measured nothing"]
