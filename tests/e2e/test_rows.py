"""`lameduck prove deployment/…` itself, on a real cluster, for every row of the truth table: verdict and causes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.e2e.rig import INGRESS, Cluster, prove
from tests.e2e.rows import ROWS

pytestmark = [pytest.mark.timeout(300)]


def _parameters() -> list[object]:
    return [pytest.param(name, marks=[] if row.quick else [pytest.mark.full]) for name, row in ROWS.items()]


@pytest.mark.parametrize("name", _parameters())
def test_a_row_of_the_truth_table(name: str, cluster: Cluster, tmp_path: Path, keep: Callable[..., None]) -> None:
    row = ROWS[name]
    if row.through and not INGRESS:
        pytest.skip("no ingress controller: set E2E_INGRESS=http://HOST:PORT")
    object_name, kind = f"row-{name}", row.shape.kind.lower()
    way = ["--load-from", INGRESS, "--host", f"{object_name}.test"] if row.through else []
    flags = ["--qps", str(row.qps), "--rollouts", str(row.rollouts), *row.flags, *way]
    cluster.deploy(object_name, row.shape, through=row.through)
    try:
        outcome = prove(f"{kind}/{object_name}", tmp_path, *flags)
    finally:
        cluster.remove(object_name, kind)
    keep(name, row.what, outcome, flags=flags)
    assert outcome.verdict in {row.verdict, *row.also}, outcome.fallen
    assert outcome.code == {"PROVEN": 0, "FAILED": 1}[outcome.verdict]
    if outcome.verdict == "FAILED":
        assert row.must <= outcome.causes
    assert outcome.causes <= row.must | row.may
    assert row.lost[0] <= outcome.proof["failed"] / max(1, row.rollouts) <= row.lost[1] or outcome.verdict in row.also
