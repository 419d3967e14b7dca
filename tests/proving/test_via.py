"""The traffic's way: the same server behind kube-proxy, an ingress and a slow load balancer."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.proving.brisk import BACKLOG, causes, proved, zoo

from lameduck.core.exchange import Lane
from lameduck.core.instants import SECOND
from lameduck.core.path import Kind, Via
from lameduck.core.proof import Verdict

pytestmark = [pytest.mark.rollout, pytest.mark.timeout(120)]

NEW = {"lanes": ((Lane.NEW, 1.0),)}


def test_c73_a_slow_load_balancer_asks_for_a_pre_stop_of_its_own(tmp_path: Path) -> None:
    """Four seconds stand for the 120 of the case: bench/fidelity.py and docs/local-cluster.md have those."""
    slow = {"via": Via(Kind.SLOW_LB, 4 * SECOND), "traffic": NEW}
    bare = proved(tmp_path / "a", *zoo("drains"), **slow)
    assert (bare.verdict, causes(bare) - BACKLOG) == (Verdict.FAILED, {("LD101", "LD901")})
    assert set(bare.failures_by_kind) <= {"refused", "timeout"}
    assert bare.lag.maximum == pytest.approx(4 * SECOND, abs=SECOND // 10)
    assert bare.suggested_pre_stop == 5
    assert bare.arithmetic.startswith("preStop 5 s: lag ")
    short = proved(tmp_path / "b", *zoo("drains"), **slow, pre_stop_sleep=2)
    assert (short.verdict, causes(short) - BACKLOG) == (Verdict.FAILED, {("LD109", "LD901")})
    mended = proved(tmp_path / "c", *zoo("drains"), **slow, pre_stop_sleep=5)
    assert (mended.verdict, mended.failed, mended.suggested_pre_stop) == (Verdict.PROVEN, 0, 5)
