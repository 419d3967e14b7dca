from typing import Any

import pytest
from tests.diagnosis.worlds import DELETION, at, fine, going, life, run_of, steady

from lameduck.core.instants import MILLISECOND, SECOND
from lameduck.core.plan import DisruptionPlan, Plan, SocketPlan, TrafficPlan
from lameduck.core.proof import Proof, Verdict
from lameduck.core.sockets import SocketTally, ends, tally
from lameduck.core.timeline import Event, Observation
from lameduck.defects.judge import NOT_TESTED, judge

LIMIT = 5 * SECOND
KEPT = Observation(at(DELETION), Event.POD_FACT, "old", detail={"kept_open": 4})
OTHER = life("other", created=0, started=100, listening=200, ready=400)


def opened(ms: float, number: int = 0, pod: str = "old") -> Observation:
    return Observation(at(ms), Event.SOCKET_OPENED, pod, detail={"number": number})


def ended(ms: float, code: int, number: int = 0, pod: str = "old", reason: str = "the connection ended") -> Observation:
    detail = {"number": number, "opened": at(1_000), "code": code, "reason": reason, "limit": LIMIT}
    return Observation(at(ms), Event.SOCKET_ENDED, pod, detail=detail)


def numbers(*seen: Observation, until: float = 20_000) -> tuple[int, int, int, int]:
    found = tally(seen, at(until))
    assert found is not None
    return found.held, found.moved, found.cut, found.stranded


ROWS: dict[str, tuple[tuple[Observation, ...], tuple[int, int, int, int]]] = {
    "none ended": ((opened(1_000), opened(1_000, 1)), (2, 0, 0, 0)),
    "told to go, and back": ((opened(1_000), ended(9_000, 1001), opened(9_080, pod="other")), (1, 1, 0, 0)),
    "a restart is announced as well": ((opened(1_000), ended(9_000, 1012), opened(9_080)), (1, 1, 0, 0)),
    "no close frame": ((opened(1_000), ended(9_000, 0), opened(9_080)), (1, 0, 1, 0)),
    "a close frame that names a fault": ((opened(1_000), ended(9_000, 1011), opened(9_080)), (1, 0, 1, 0)),
    "told to go, and back too late": ((opened(1_000), ended(9_000, 1001), opened(14_001)), (1, 0, 0, 1)),
    "told to go, and never back": ((opened(1_000), ended(9_000, 1001)), (1, 0, 0, 1)),
    "cut is cut, back or not": ((opened(1_000), ended(9_000, 0)), (1, 0, 1, 0)),
    "the same one twice": (
        (opened(1_000), ended(9_000, 1001), opened(9_050), ended(12_000, 0), opened(12_050)), (1, 1, 1, 0)),
}  # fmt: skip


@pytest.mark.parametrize("name", ROWS)
def test_what_became_of_a_held_socket(name: str) -> None:
    seen, expected = ROWS[name]
    assert numbers(*seen) == expected


def test_one_told_to_go_at_the_very_end_had_no_time_and_is_not_counted() -> None:
    seen = (opened(1_000), ended(19_000, 1001))
    assert numbers(*seen, until=20_000) == (1, 0, 0, 0)
    assert numbers(*seen, until=24_000) == (1, 0, 0, 1)
    assert list(ends(seen, at(20_000))) == []


def test_without_any_socket_there_is_no_tally() -> None:
    assert tally([KEPT], at(20_000)) is None


def test_its_words_and_numbers_for_machines_agree() -> None:
    seen = (opened(1_000), ended(9_000, 1001), opened(9_080), opened(1_000, 1), ended(9_000, 0, 1), opened(9_090, 1))
    found = tally(seen, at(20_000))
    assert isinstance(found, SocketTally)
    assert found.as_dict() == {"held": 2, "moved": 1, "cut": 1, "stranded": 0, "slowest_return_ms": 90.0}
    assert found.words() == (
        "1 moved (a close frame, and open again) · 1 cut without one that says so · open again within 90 ms"
    )


def proof(*sockets: Observation, **pod: Any) -> Proof:
    plan = Plan(TrafficPlan(), DisruptionPlan(times=1), SocketPlan(1))
    world = sorted([*going(**{"exited": 60, **pod}), *OTHER, KEPT, *sockets], key=lambda seen: seen.at)
    return judge(run_of(world, [*steady(20_000), fine(DELETION + 500)], plan=plan))


MOVED = (opened(1_000), ended(DELETION + 30, 1001), opened(DELETION + 90, pod="other"))
CUT = (opened(1_000), ended(DELETION + 61, 0), opened(DELETION + 90, pod="other"))


def test_a_rollout_whose_sockets_all_moved_is_proven() -> None:
    judged = proof(*MOVED)
    assert (judged.verdict, judged.failed) == (Verdict.PROVEN, 0)
    assert "no WebSocket (1 held at a time)" in judged.sentence
    assert NOT_TESTED not in judged.notes


def test_a_socket_cut_with_its_pod_fails_the_proof_although_no_request_was_lost() -> None:
    judged = proof(*CUT)
    assert (judged.verdict, judged.failed) == (Verdict.FAILED, 0)
    assert "0 of " in judged.sentence and "1 WebSockets (1 held at a time) were lost" in judged.sentence
    (finding,) = [f for f in judged.findings if f.symptom == "LD916"]
    assert (finding.defect.code, finding.count) == ("LD916", 1)
    assert finding.evidence[0] == "its pod's process ended 50 ms after the stop signal, no close frame before"
    assert judged.upper_bound_terminations == pytest.approx(1.0)


def test_sockets_that_sigkill_ended_have_the_kills_own_cause() -> None:
    details = {"exited": {"code": 137}, "stop_signal": {"signal": "SIGTERM", "pid1": "bash", "is_shell": True}}
    end = (opened(1_000), ended(DELETION + 6_009, 0), opened(DELETION + 6_090, pod="other"))
    judged = proof(*end, details=details, exited=6_010, killed=6_000, gone=6_900)
    (finding,) = [f for f in judged.findings if f.symptom == "LD916"]
    assert finding.defect.code == "LD401"


def test_a_socket_that_ended_while_its_pod_stayed_is_not_put_on_the_rollout() -> None:
    judged = proof(*MOVED, opened(1_000, 1, "other"), ended(5_000, 0, 1, "other"), opened(5_050, 1, "other"))
    (finding,) = [f for f in judged.findings if f.symptom == "LD916"]
    assert finding.evidence[0] == "ended while its pod was not going: the connection ended"


def test_a_pod_that_went_without_any_socket_proves_nothing_of_them() -> None:
    judged = proof(opened(1_000, pod="other"))
    assert judged.verdict is Verdict.INCONCLUSIVE
    assert [gate.name for gate in judged.gates if not gate.held] == ["every termination held a WebSocket"]


def test_a_socket_that_had_left_its_pod_before_the_deletion_was_not_held_by_it() -> None:
    judged = proof(opened(1_000), ended(5_000, 1001), opened(5_050, pod="other"))
    assert judged.verdict is Verdict.INCONCLUSIVE
    assert [gate.name for gate in judged.gates if not gate.held] == ["every termination held a WebSocket"]


def test_where_it_is_not_known_whose_the_sockets_were_nothing_is_proven_and_no_pod_is_blamed() -> None:
    judged = proof(opened(1_000, pod=""), ended(DELETION + 30, 1001, pod=""), opened(DELETION + 90, pod=""))
    assert judged.verdict is Verdict.INCONCLUSIVE
    assert [gate.detail for gate in judged.gates if not gate.held] == ["to which pods they were open is not known"]
    cut = proof(opened(1_000, pod=""), ended(DELETION + 30, 0, pod=""), opened(DELETION + 90, pod=""))
    (finding,) = [f for f in cut.findings if f.symptom == "LD916"]
    assert finding.evidence[0].startswith("to which pod it was open is not known")


def test_a_run_without_sockets_says_that_they_were_not_tested() -> None:
    world = [*going(exited=60), *OTHER, KEPT]
    assert NOT_TESTED in judge(run_of(world, steady(20_000))).notes


def test_slowest_return_is_of_those_that_came_back() -> None:
    found = tally((opened(1_000), ended(9_000, 1001), opened(9_000 + 250)), at(20_000))
    assert found is not None and found.slowest_return == 250 * MILLISECOND
