"""Servers with known behaviour, each rolled under load: the right verdict, kinds and cause; the server's log judges."""

import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from tests.proving.brisk import (
    BACKLOG,
    BRISK,
    SLOW,
    answered,
    causes,
    clean,
    fallen,
    proved,
    received,
    script,
    timed_out,
    zoo,
)

from lameduck.core.exchange import Lane
from lameduck.core.instants import MILLISECOND, SECOND
from lameduck.core.plan import RequestShape
from lameduck.core.proof import Verdict
from lameduck.core.timeline import Event
from lameduck.runfile import read

pytestmark = [pytest.mark.rollout, pytest.mark.timeout(90)]
NEW = {"lanes": ((Lane.NEW, 1.0),)}
ONE = {"replicas": 1}
"""Half the time, where what one pod does says all."""


UNTOLD = 2
"""A pod that is taken down, at the end of a run, between an answer and its word for it: one for each replica."""


def test_exits_at_once(tmp_path: Path) -> None:
    proof = proved(tmp_path, *zoo("exits"))
    assert proof.verdict is Verdict.FAILED
    assert ("LD101", "LD901") in causes(proof)
    assert causes(proof) - BACKLOG <= {("LD101", "LD901"), ("LD803", "LD902")}
    assert set(proof.failures_by_kind) <= {"refused", "timeout", "reset", "closed"}
    # Its exit may come between an answer and its line.
    assert -4 <= answered(tmp_path) - received(tmp_path) <= proof.failed


def test_drains_what_is_in_hand_and_still_refuses_what_comes(tmp_path: Path) -> None:
    proof = proved(tmp_path, *zoo("drains"), traffic=NEW)
    assert proof.verdict is Verdict.FAILED
    assert causes(proof) - BACKLOG == {("LD101", "LD901")}
    assert -timed_out(tmp_path) <= received(tmp_path) - answered(tmp_path) <= UNTOLD


def test_a_lame_duck_needs_no_pre_stop(tmp_path: Path) -> None:
    proof = proved(tmp_path, *zoo("lame"), rollouts=2)
    assert clean(proof) and not causes(proof)
    assert proof.terminations == 4
    assert received(tmp_path) >= proof.requests or fallen(proof), "what was sent was answered"
    assert 0 <= received(tmp_path) - answered(tmp_path) <= UNTOLD
    seen = read(tmp_path / "run").run.observations
    begun = [each.at for each in seen if each.what is Event.DISRUPTION_REQUESTED]
    done = [each.at for each in seen if each.what is Event.DISRUPTION_COMPLETED]
    assert begun[1] - done[0] >= SECOND, "the second rollout found kube-proxy still busy with the first"


def test_ignores_the_signal(tmp_path: Path) -> None:
    proof = proved(tmp_path, *zoo("ignores"), **ONE, grace=3 * SECOND, traffic={"requests": SLOW})
    assert proof.verdict is Verdict.FAILED
    assert causes(proof) == {("LD903", "LD903")}
    assert proof.failures_by_lane == {"reuse": proof.failed}


def test_ignores_the_signal_and_new_connections_alone_see_nothing_but_a_warning(tmp_path: Path) -> None:
    proof = proved(tmp_path, *zoo("ignores"), **ONE, grace=3 * SECOND, traffic=NEW)
    assert clean(proof) and causes(proof) == {("LD903", "LD903")}
    (finding,) = [f for f in proof.findings if f.symptom == "LD903"]
    assert finding.severity is not None
    assert finding.severity.value == "warning"


@pytest.mark.parametrize("behaviour", ["unloads", "turns-away", "tears-down"])
def test_answers_wrongly_while_it_stops(tmp_path: Path, behaviour: str) -> None:
    proof = proved(tmp_path, *zoo(behaviour))
    assert proof.verdict is Verdict.FAILED
    assert ("LD913", "LD913") in causes(proof)
    assert causes(proof) - BACKLOG <= {("LD913", "LD913"), ("LD101", "LD901"), ("LD803", "LD902")}
    assert proof.failures_by_kind["bad_status"] > 10


def test_accepts_and_never_answers(tmp_path: Path) -> None:
    """Case C69 as well: the arrivals go on during a bad window, and what was planned was sent."""
    traffic = {"timeout": SECOND // 2, "lanes": ((Lane.NEW, 1.0),)}
    proof = proved(tmp_path, *zoo("hangs"), grace=4 * SECOND, traffic=traffic)
    assert set(proof.failures_by_kind) <= {"timeout"}
    assert timed_out(tmp_path) > 20, "some 75/s for a second and more of two pods; a closed loop of 8 would show 16"
    if "the engine was on time" not in fallen(proof):  # else stalls of ours excuse time-outs
        assert proof.verdict is Verdict.FAILED
        assert ("LD905", "LD905") in causes(proof)
        assert "the plan was sent" not in fallen(proof)


def test_truncates_every_answer_which_is_no_fault_of_the_rollout(tmp_path: Path) -> None:
    proof = proved(tmp_path, *zoo("truncates"))
    assert proof.verdict is Verdict.FAILED
    assert causes(proof) == {("LD915", "LD915")}
    assert set(proof.failures_by_kind) == {"truncated"}
    assert proof.rollouts_completed == 0  # broken before anything was disrupted: nothing was


def test_closes_idle_connections_and_a_client_that_does_not_look_meets_it(tmp_path: Path) -> None:
    traffic = {"look": False, "rate": 60.0, "lanes": ((Lane.REUSE, 1.0),)}
    proof = proved(tmp_path, *zoo("closes-idle"), rollouts=0, traffic=traffic)
    assert proof.verdict is Verdict.FAILED
    assert causes(proof) == {("LD605", "LD906")}


def test_listens_late_behind_a_readiness_probe(tmp_path: Path) -> None:
    assert clean(proved(tmp_path, *zoo("listens-late"), **ONE))


def test_gives_up_its_drain_with_requests_in_hand(tmp_path: Path) -> None:
    slow = (RequestShape(path="/20", weight=0.9), RequestShape(path="/4000", weight=0.1))
    traffic = {"requests": slow, "lanes": ((Lane.NEW, 1.0),), "timeout": 8 * SECOND}
    proof = proved(tmp_path, *zoo("gives-up"), **ONE, traffic=traffic, pre_stop_sleep=2)
    assert proof.verdict is Verdict.FAILED
    assert causes(proof) == {("LD801", "LD902")}


def test_drains_longer_than_its_grace_period(tmp_path: Path) -> None:
    slow = (RequestShape(path="/20", weight=0.9), RequestShape(path="/5000", weight=0.1))
    traffic = {"requests": slow, "lanes": ((Lane.NEW, 1.0),), "timeout": 9 * SECOND}
    proof = proved(tmp_path, *zoo("drains"), **ONE, grace=3 * SECOND, pre_stop_sleep=2, traffic=traffic)
    assert proof.verdict is Verdict.FAILED
    assert causes(proof) == {("LD102", "LD904")}


def test_crashes_without_being_asked_to(tmp_path: Path) -> None:
    proof = proved(tmp_path, *zoo("crashes", "4"), rollouts=0, traffic={"duration": 6 * SECOND})
    assert proof.verdict is Verdict.FAILED
    assert not causes(proof) & {("LD101", "LD901"), ("LD803", "LD902"), ("LD605", "LD906")}


def test_leaves_a_child_that_keeps_the_port(tmp_path: Path) -> None:
    proof = proved(tmp_path, *zoo("leaves-a-child"))
    assert proof.verdict is Verdict.FAILED
    assert ("LD101", "LD901") in causes(proof)
    assert ("LD803", "LD902") not in causes(proof)


SLOW_TO_LEAVE = """
import signal, subprocess, sys, time
subprocess.Popen(sys.argv[1:])
signal.signal(signal.SIGTERM, lambda *_: (time.sleep(0.7), sys.exit(1)))
while True:
    time.sleep(9)
"""


@pytest.mark.skipif(tuple(map(int, os.uname().release.split(".")[:2])) < (6, 15), reason="the kernel does not tell")
def test_a_first_process_that_leaves_its_server_behind_late_is_no_server_without_a_drain(tmp_path: Path) -> None:
    launcher = (sys.executable, "-c", SLOW_TO_LEAVE, *zoo("drains"))
    proof = proved(tmp_path, *launcher, pre_stop_sleep=2, traffic={"requests": SLOW})
    assert proof.verdict is Verdict.FAILED
    assert ("LD902", "LD902") in causes(proof)
    assert ("LD803", "LD902") not in causes(proof)


def test_what_waits_in_the_backlog_is_not_called_in_flight(tmp_path: Path) -> None:
    traffic = {**NEW, "rate": 95.0}
    proof = proved(tmp_path, *zoo("one-at-a-time"), traffic=traffic)
    assert proof.verdict is Verdict.FAILED
    assert ("LD912", "LD912") in causes(proof)
    assert ("LD803", "LD902") not in causes(proof)


def test_a_tail_that_fails_long_after_the_rollout_looks_done_is_seen(tmp_path: Path) -> None:
    proof = proved(tmp_path, *zoo("late"), traffic={"lanes": ((Lane.REUSE, 1.0),)})
    assert proof.verdict is Verdict.FAILED
    run = read(tmp_path / "run").run
    first = min(e.finished or 0 for e in run.recording.failed_exchanges())
    assert first - run.load_started > 5_000 * MILLISECOND


def test_a_script_that_swallows_the_signal_cuts_only_kept_alive_connections(tmp_path: Path) -> None:
    proof = proved(tmp_path, *script("swallow", "drains"), **ONE, grace=3 * SECOND, traffic={"requests": SLOW})
    assert (proof.verdict, causes(proof)) == (Verdict.FAILED, {("LD401", "LD903")})
    assert proof.failures_by_lane == {"reuse": proof.failed}
    fix = proof.findings[0].fix
    assert fix is not None
    assert ["exec" in patch.snippet for patch in fix.patches] == [True, False]
    assert "preStop" in fix.patches[1].snippet


def test_a_script_that_forwards_and_waits_lets_the_server_drain_and_loses_more(tmp_path: Path) -> None:
    proof = proved(tmp_path, *script("forward", "drains"), traffic=NEW)
    assert proof.verdict is Verdict.FAILED
    assert ("LD101", "LD901") in causes(proof)
    assert ("LD404", "LD902") not in causes(proof)


def test_the_usual_trap_leaves_before_its_child(tmp_path: Path) -> None:
    proof = proved(tmp_path, *script("naive", "drains"), traffic={"requests": SLOW})
    assert proof.verdict is Verdict.FAILED
    assert ("LD404", "LD902") in causes(proof)
    assert causes(proof) - BACKLOG <= {("LD404", "LD902"), ("LD101", "LD901")}


def test_a_trap_with_the_server_in_the_foreground_never_runs(tmp_path: Path) -> None:
    proof = proved(tmp_path, *script("foreground", "drains"), **ONE, grace=3 * SECOND, traffic={"requests": SLOW})
    assert (proof.verdict, causes(proof)) == (Verdict.FAILED, {("LD403", "LD903")})


def test_repairing_the_signal_alone_makes_it_worse_and_the_whole_set_mends_it(tmp_path: Path) -> None:
    """Case C81: A swallows and loses nothing new, B delivers to an app that tears itself down, C adds a preStop."""
    a = proved(tmp_path / "a", *script("swallow", "tears-down"), **ONE, grace=3 * SECOND, traffic=NEW)
    b = proved(tmp_path / "b", *zoo("tears-down"), **ONE, grace=8 * SECOND, traffic=NEW)
    c = proved(tmp_path / "c", *zoo("tears-down"), **ONE, grace=8 * SECOND, traffic=NEW, pre_stop_sleep=3)
    assert (a.failed, causes(a)) == (0, {("LD401", "LD903")})
    assert b.failed > 0
    assert ("LD913", "LD913") in causes(b)
    assert clean(c) and not causes(c)


def test_a_broken_hook_delays_nothing_and_is_named(tmp_path: Path) -> None:
    missing = proved(tmp_path / "a", *zoo("drains"), pre_stop_exec=("/no/such/sleep", "5"), traffic=NEW)
    broken = proved(tmp_path / "b", *zoo("drains"), pre_stop_exec=("sh", "-c", "sleep", "5"), traffic=NEW)
    assert (missing.verdict, causes(missing) - BACKLOG) == (Verdict.FAILED, {("LD104", "LD901")})
    assert (broken.verdict, causes(broken) - BACKLOG) == (Verdict.FAILED, {("LD105", "LD901")})


def test_a_pre_stop_shorter_than_the_lag_is_named_with_the_seconds_that_would_do(tmp_path: Path) -> None:
    slow_sync = 4 * SECOND
    proof = proved(tmp_path, *zoo("drains"), pre_stop_sleep=1, min_sync=slow_sync, traffic=NEW)
    assert (proof.verdict, causes(proof) - BACKLOG) == (Verdict.FAILED, {("LD109", "LD901")})
    assert proof.suggested_pre_stop is not None
    assert proof.lag.maximum is not None
    assert proof.lag.maximum > SECOND
    mended = proved(tmp_path / "mended", *zoo("drains"), pre_stop_sleep=6, min_sync=slow_sync, traffic=NEW)
    assert clean(mended)


def test_a_rollout_that_takes_every_endpoint_away_is_nobodys_fault_but_its_own(tmp_path: Path) -> None:
    slow_start = replace(BRISK, start=(2_000, 2_000, 2_000))
    one = {"replicas": 1, "max_surge": 0, "max_unavailable": 1, "timings": slow_start}
    proof = proved(tmp_path, *zoo("drains"), **one, traffic=NEW)
    assert proof.verdict is Verdict.FAILED
    assert ("LD202", "LD901") in causes(proof)
