"""The traffic's way: the same server behind kube-proxy, an ingress and a slow load balancer."""

from __future__ import annotations

from dataclasses import replace
from math import ceil
from pathlib import Path

import pytest
from tests.proving.brisk import BACKLOG, BRISK, causes, clean, fallen, proved, zoo

from lameduck.core.exchange import Lane
from lameduck.core.instants import MILLISECOND, SECOND
from lameduck.core.path import Kind, Via
from lameduck.core.plan import RequestShape
from lameduck.core.proof import Verdict
from lameduck.core.simulation import App
from lameduck.local.predicting import predict
from lameduck.local.spec import LocalSpec

pytestmark = [pytest.mark.rollout, pytest.mark.timeout(120)]

CUT = {("LD803", "LD907"), ("LD803", "LD902"), ("LD912", "LD907")}
"""A request in hand on a new connection of the ingress as the pod's process ended."""
NEW = {"lanes": ((Lane.NEW, 1.0),)}


def test_c73_a_slow_load_balancer_asks_for_a_pre_stop_of_its_own(tmp_path: Path) -> None:
    """3.8 s stand for the 120 of the case (docs/local-cluster.md): not a whole number, since what is suggested is
    rounded up, and a lag of 4.01 s asks for a second more than one of 4.00 s."""
    lag = 3_800 * MILLISECOND
    slow = {"via": Via(Kind.SLOW_LB, lag), "traffic": NEW}
    bare = proved(tmp_path / "a", *zoo("drains"), **slow)
    assert (bare.verdict, causes(bare) - BACKLOG) == (Verdict.FAILED, {("LD101", "LD901")})
    assert set(bare.failures_by_kind) <= {"refused", "timeout", "reset"}
    assert bare.lag.maximum is not None
    assert bare.suggested_pre_stop == ceil(bare.lag.maximum / SECOND + 1)
    if not fallen(bare):  # else this machine stood still meanwhile
        assert bare.lag.maximum == pytest.approx(lag, abs=SECOND // 6)
        assert bare.suggested_pre_stop == 5
    assert bare.arithmetic.startswith("preStop 5 s: lag ")
    predicted = predict(LocalSpec(command=("server",), replicas=2), App(), [slow["via"]], rollouts=5)
    (way,) = predicted.ways
    assert way.lag[1] == pytest.approx(lag, abs=SECOND // 6)
    assert (way.minimal_pre_stop, way.suggested_pre_stop) == (4, 5)
    short = proved(tmp_path / "b", *zoo("drains"), **slow, pre_stop_sleep=2)
    assert (short.verdict, causes(short) - BACKLOG) == (Verdict.FAILED, {("LD109", "LD901")})
    mended = proved(tmp_path / "c", *zoo("drains"), **slow, pre_stop_sleep=5)
    assert clean(mended) and (mended.suggested_pre_stop == 5 or fallen(mended))


INGRESS = {"via": Via(Kind.INGRESS)}


def test_behind_an_ingress_a_refusal_is_a_502_and_silence_a_time_out_both_for_want_of_a_delay(tmp_path: Path) -> None:
    # By the first new pod the throttle is over; for the second one it is not.
    slow_start = replace(BRISK, start=(800, 800, 800))
    bare = proved(tmp_path / "a", *zoo("exits"), **INGRESS, timings=slow_start)
    assert bare.verdict is Verdict.FAILED
    assert causes(bare) - CUT == {("LD101", "LD901"), ("LD101", "LD907")}
    assert set(bare.failures_by_kind) == {"timeout", "bad_status"}
    assert set(bare.failures_by_stage) == {"await", "validate"}
    assert bare.lag.maximum is not None
    assert bare.lag.maximum > SECOND
    assert bare.suggested_pre_stop == max(4, ceil(bare.lag.maximum / SECOND + 1))
    asked = {"command": ("server",), "replicas": 2, "timings": slow_start}
    (way,) = predict(LocalSpec(**asked), App(starts=50 * MILLISECOND, stops=0), [INGRESS["via"]], rollouts=5).ways
    assert (way.minimal_pre_stop in {2, 3}, way.suggested_pre_stop) == (True, 4)
    if not fallen(bare):  # else this machine stood still meanwhile
        assert bare.lag.maximum < 2.3 * SECOND  # the throttle's 2 s, not kube-proxy's one
        assert way.lag[1] == pytest.approx(bare.lag.maximum, abs=SECOND // 4)
        assert bare.failed / 2 <= way.missed[0] / SECOND * 150 <= bare.failed * 2
    mended = proved(tmp_path / "b", *zoo("drains"), **INGRESS, timings=slow_start, pre_stop_sleep=4)
    assert any("went by an ingress" in note for note in mended.notes)
    assert not any("stayed on pods" in note for note in mended.notes)
    assert clean(mended)
    assert next(gate for gate in mended.gates if gate.name == "every termination was under load").held


def test_an_ingress_has_no_last_resort_so_one_replica_leaves_nobody(tmp_path: Path) -> None:
    slow_start = replace(BRISK, start=(2_500, 2_500, 2_500))
    one = {"replicas": 1, "max_surge": 0, "max_unavailable": 1, "pre_stop_sleep": 5, "timings": slow_start}
    proof = proved(tmp_path, *zoo("drains"), **INGRESS, **one)
    assert (proof.verdict, causes(proof)) == (Verdict.FAILED, {("LD202", "LD907")})
    assert set(proof.failures_by_kind) == {"bad_status"}


@pytest.mark.parametrize(("method", "masked"), [("GET", True), ("POST", False)])
def test_c77_what_an_ingress_tries_again_is_not_lost_and_yet_said(tmp_path: Path, method: str, masked: bool) -> None:
    """A server that ends kept-alive connections unannounced: the ingress repeats a GET, and must not repeat a POST."""
    traffic = {"requests": (RequestShape(method=method, path="/5"),), "rate": 60.0, "duration": 3 * SECOND}
    proof = proved(tmp_path, *zoo("drops-the-second"), **INGRESS, rollouts=0, traffic=traffic)
    if masked:
        assert (proof.verdict, proof.failed, causes(proof)) == (Verdict.INCONCLUSIVE, 0, set())
        assert proof.masked > 20
        assert "masked, not mended" in proof.sentence
    else:
        assert (proof.verdict, proof.masked) == (Verdict.FAILED, 0)
        assert causes(proof) == {("LD605", "LD907")}
        assert set(proof.failures_by_kind) == {"bad_status"}
