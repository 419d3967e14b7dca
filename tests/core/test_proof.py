import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.diagnosis.worlds import DELETION, at, fine, going, life, lost, run_of, steady

from lameduck.core.exchange import Exchange, Failure, Kind, Lane, Stage
from lameduck.core.instants import MILLISECOND, SECOND
from lameduck.core.proof import Gate, Proof, Stall, Verdict, agents_gate, booked, decide
from lameduck.core.timeline import Event, Milestone, Observation
from lameduck.defects.judge import judge

KEPT = Observation(at(DELETION), Event.POD_FACT, "old", detail={"kept_open": 4})
WORLD = [*going(exited=60), *life("other", created=0, started=100, listening=200, ready=400), KEPT]


def proof(*exchanges: Exchange, world: list[Observation] = WORLD, **more: object) -> Proof:
    return judge(run_of(world, [*steady(20_000), *exchanges], **more))  # type: ignore[arg-type]


def fallen(judged: Proof) -> list[str]:
    return [gate.name for gate in judged.gates if not gate.held]


def test_a_whole_run_without_loss_is_proven_and_says_what_that_leaves_possible() -> None:
    judged = proof()
    assert (judged.verdict, fallen(judged), judged.failed) == (Verdict.PROVEN, [], 0)
    assert "95 %" in judged.sentence
    assert judged.exposed_requests == 624  # from 0.1 s before the deletion to 3.015 s after it, twice 100/s
    assert judged.upper_bound == pytest.approx(3 / 624, rel=0.01)
    assert judged.upper_bound_terminations == pytest.approx(0.95)


def test_one_lost_request_is_failed_whatever_else_is_wrong() -> None:
    judged = proof(lost(50, "refused"), completed=0, stalls=[Stall(at(10_000), SECOND)])
    assert judged.verdict is Verdict.FAILED
    assert judged.failures_by_kind == {"refused": 1}


def test_a_failure_in_the_first_second_is_not_counted_and_one_in_the_baseline_is() -> None:
    assert proof(lost(-9_500, "refused")).failed == 0
    assert proof(lost(-5_000, "refused")).verdict is Verdict.FAILED


def test_a_time_out_that_our_own_stall_overlaps_is_not_the_targets() -> None:
    late = lost(5_000, "timeout", "await", pod="other", after=500)
    assert proof(late).failed == 1
    assert proof(late, stalls=[Stall(at(DELETION + 5_100), 150 * MILLISECOND)]).failed == 0
    assert proof(late, stalls=[Stall(at(DELETION + 5_100), 90 * MILLISECOND)]).failed == 1


def test_a_refusal_is_the_targets_even_while_we_stall() -> None:
    assert proof(lost(50, "refused"), stalls=[Stall(at(DELETION), SECOND)]).failed == 1


def test_what_we_could_not_send_is_ours_and_never_proven() -> None:
    judged = proof(unsent(50))
    assert (judged.verdict, judged.failed, fallen(judged)) == (Verdict.INCONCLUSIVE, 0, ["the plan was sent"])


def unsent(ms: float) -> Exchange:
    due = at(DELETION + ms)
    failure = Failure(Stage.CONNECT, Kind.NOT_SENT, 24)
    return Exchange(0, Lane.NEW, due, None, None, None, None, due, failure=failure)


def test_one_thin_second_of_an_exposed_window_spoils_the_plan_although_the_whole_was_sent() -> None:
    many = [fine(n * 2.0, pod="other") for n in range(10_000)]
    judged = proof(*many, *(unsent(1_000 + n) for n in range(60)))
    (gate,) = [gate for gate in judged.gates if not gate.held]
    assert gate.detail == "less than 95 % in 1 seconds of an exposed window"


def test_late_sends_prove_nothing() -> None:
    late = [
        Exchange(
            0, Lane.NEW, at(ms), at(ms + 25), at(ms + 26), at(ms + 26), at(ms + 27), at(ms + 27), routed_to="other"
        )
        for ms in range(2_000, 20_000, 100)
    ]
    judged = proof(*late)
    assert (judged.verdict, fallen(judged)) == (Verdict.INCONCLUSIVE, ["the engine was on time"])


GATES = {
    "every rollout observed to complete": {"completed": 0},
    "the engine was on time": {"stalls": [Stall(at(DELETION + 100), 250 * MILLISECOND)]},
    "the record is whole": {"complete": False},
    "pods stop as in a container": {"facts": {"details": {"pid1_unknown": "macOS has no /proc"}}},
}


@pytest.mark.parametrize("name", GATES)
def test_each_gate_falls_alone_and_makes_the_run_inconclusive(name: str) -> None:
    judged = proof(**GATES[name])
    assert (judged.verdict, fallen(judged)) == (Verdict.INCONCLUSIVE, [name])
    assert all(gate.remedy for gate in judged.gates if not gate.held)


def test_pods_that_ended_as_no_process_1_could_prove_nothing() -> None:
    raised = Observation(at(DELETION + 60), Event.POD_FACT, "old", detail={"raised_again": True})
    judged = proof(world=[*WORLD, raised])
    assert (judged.verdict, fallen(judged)) == (Verdict.INCONCLUSIVE, ["pods stop as in a container"])


def test_a_stall_outside_the_exposed_windows_spoils_nothing() -> None:
    assert proof(stalls=[Stall(at(5_000), 250 * MILLISECOND)]).verdict is Verdict.PROVEN


def test_an_old_pod_whose_end_was_not_seen_is_no_completed_rollout() -> None:
    unseen = [o for o in WORLD if not (o.subject == "old" and o.what in {Milestone.EXITED, Milestone.GONE})]
    judged = proof(world=unseen)
    assert fallen(judged) == ["every rollout observed to complete"]


def test_a_watch_gap_over_an_exposed_window_hides_milestones_and_a_resumed_watch_does_not() -> None:
    def gap(*, relist: bool) -> Observation:
        return Observation(
            at(DELETION + 900), Event.WATCH_GAP, "", detail={"start": at(DELETION + 300), "relist": relist}
        )

    assert fallen(proof(world=[*WORLD, gap(relist=True)])) == ["nothing was missed"]
    assert proof(world=[*WORLD, gap(relist=False)]).verdict is Verdict.PROVEN


def test_too_little_load_in_a_termination_proves_nothing() -> None:
    thin = [fine(n * 200.0, pod="other", lane=lane) for n in range(100) for lane in ("new", "reuse")]
    judged = judge(run_of(WORLD, thin))
    assert (judged.verdict, fallen(judged)) == (Verdict.INCONCLUSIVE, ["every termination was under load"])


def test_a_pod_without_any_kept_alive_connection_proves_nothing_for_that_lane() -> None:
    bare = Observation(at(DELETION), Event.POD_FACT, "old", detail={"kept_open": 0})
    assert fallen(proof(world=[*WORLD, bare])) == ["every termination was under load"]


def test_a_server_that_keeps_no_connection_alive_is_said_to_do_so() -> None:
    bare = Observation(at(DELETION), Event.POD_FACT, "old", detail={"kept_open": 0})
    once = [fine(n * 10.0, pod="other", lane=lane) for n in range(2_000) for lane in ("new", "reuse")]
    (gate,) = [gate for gate in judge(run_of([*WORLD, bare], once)).gates if not gate.held]
    assert "keeps no connection alive" in gate.detail
    assert "--lanes new" in gate.remedy


def test_a_control_run_is_failed_or_inconclusive_never_proven() -> None:
    idle = [o for o in WORLD if o.subject == "other"]
    control = judge(run_of(idle, steady(20_000, pods=("other",)), rolled=0))
    assert (control.verdict, fallen(control)[0]) == (Verdict.INCONCLUSIVE, "every rollout observed to complete")
    assert "nothing was rolled" in control.gates[0].detail
    broken = judge(run_of(idle, [*steady(20_000, pods=("other",)), lost(-5_000, "refused", pod="other")], rolled=0))
    assert broken.verdict is Verdict.FAILED


def test_no_traffic_at_all_says_so() -> None:
    judged = judge(run_of(WORLD, []))
    assert judged.verdict is Verdict.INCONCLUSIVE
    assert any("no traffic was sent" in gate.detail for gate in judged.gates)


@given(st.integers(0, 3), st.lists(st.booleans(), min_size=1, max_size=6))
def test_proven_needs_every_gate_and_not_one_failure(failed: int, held: list[bool]) -> None:
    verdict = decide(failed, [Gate("g", h, "") for h in held])
    assert (verdict is Verdict.FAILED) == (failed > 0)
    assert (verdict is Verdict.PROVEN) == (failed == 0 and all(held))


def test_booking_asks_for_a_failure() -> None:
    assert not booked(fine(1), [])


def agent(name: str = "agent-0", error: int = MILLISECOND, *, whole: bool = True, why: str = "") -> dict[str, object]:
    return {"name": name, "clock_error": error, "whole": whole, "why": why}


def test_every_agents_record_must_be_whole_and_its_clock_known_to_20_ms() -> None:
    assert agents_gate([agent(), agent("agent-1", 20 * MILLISECOND)]).held
    assert not agents_gate([agent(), agent("agent-1", 21 * MILLISECOND)]).held
    lost = agents_gate([agent(), agent("agent-1", whole=False, why="the pod agent-1 is gone")])
    assert (lost.held, lost.detail) == (False, "that of agent-1 is missing: the pod agent-1 is gone")
