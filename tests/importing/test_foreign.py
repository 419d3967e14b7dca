"""What may be said of a load that was not ours: its losses are losses, its zero is worth what its record shows."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.diagnosis.worlds import DELETION, at, fine, going, life, lost, run_of

from lameduck.core.exchange import Exchange, Failure, Kind, Lane, Stage
from lameduck.core.foreign import Foreign
from lameduck.core.instants import MILLISECOND, SECOND
from lameduck.core.proof import Proof, Stall, Verdict
from lameduck.defects.judge import judge
from lameduck.importing import exchanges_from

GOOD = Foreign("jmeter", "x.jtl", losses=("a closed loop",), rate=80.0, clock_error=0)
OTHER = life("other", created=0, started=100, listening=200, ready=400)
ROLLED = [*going(endpoint_not_ready=15, exited=400, gone=900), *OTHER]


def untold(exchange: Exchange) -> Exchange:
    """As a tool's file tells it: no pod, no connection, no instant of sending."""
    lane = exchange.lane if exchange.lane is Lane.NEW and exchange.nth_on_connection == 0 else Lane.UNKNOWN
    return replace(exchange, routed_to="", connection=0, nth_on_connection=0, sent=None, lane=lane)


def traffic(until: float = 20_000, step: float = 10.0, gap: range = range(0)) -> list[Exchange]:
    return [untold(fine(n * step)) for n in range(int(until / step)) if int(n * step) not in gap]


def judged(exchanges: Iterable[Exchange], foreign: Foreign = GOOD, **more: Any) -> Proof:
    return judge(run_of(ROLLED, exchanges, foreign=foreign, **more))


def coded(proof: Proof) -> set[str]:
    return {finding.defect.code for finding in proof.findings}


def fallen(proof: Proof) -> set[str]:
    return {gate.name for gate in proof.gates if not gate.held}


def test_a_promise_held_by_a_client_on_our_clock_that_repeats_nothing_is_proven() -> None:
    proof = judged(traffic())
    assert (proof.verdict, fallen(proof)) == (Verdict.PROVEN, set())
    assert "connections not told apart" in proof.sentence
    assert proof.requests_by_lane == {"unknown": proof.requests}
    assert "jmeter's file: a closed loop" in proof.notes


@pytest.mark.parametrize(
    ("exchanges", "foreign", "gate"),
    [
        (traffic(), replace(GOOD, rate=0.0), "the plan was sent"),
        (traffic(), replace(GOOD, rate=150.0), "the plan was sent"),
        (traffic(gap=range(DELETION + 500, DELETION + 900)), GOOD, "the plan was sent"),  # it waited for an answer
        (traffic(until=DELETION + 1_000), GOOD, "the plan was sent"),
        (traffic(step=11), replace(GOOD, rate=100.0), "the plan was sent"),
        ([], GOOD, "the plan was sent"),
        (traffic(), replace(GOOD, hides_retries="Go's client"), "nothing was masked by retries"),
        (traffic(), replace(GOOD, masked=3), "nothing was masked by retries"),
        (traffic(), replace(GOOD, client_view=False), "the client's own view"),
        (traffic(), replace(GOOD, clock_error=None), "its clock is ours"),
        (traffic(), replace(GOOD, clock_error=25 * MILLISECOND), "its clock is ours"),
        (traffic(), replace(GOOD, precision=SECOND), "its clock is ours"),
        ([untold(fine(n * 150)) for n in range(140)], replace(GOOD, rate=6.0), "every termination was under load"),
    ],
)
def test_zero_is_inconclusive_where_the_record_would_not_have_shown_a_loss(
    exchanges: list[Exchange], foreign: Foreign, gate: str
) -> None:
    proof = judged(exchanges, foreign)
    assert proof.verdict is Verdict.INCONCLUSIVE
    assert gate in fallen(proof)
    assert all(each.remedy for each in proof.gates if not each.held)


def test_zero_masked_by_retries_is_said_so() -> None:
    assert "3 more would have been but for a hop's retry" in judged(traffic(), replace(GOOD, masked=3)).sentence


def test_what_the_client_itself_could_not_send_counts_as_not_sent() -> None:
    ours = Failure(Stage.CONNECT, Kind.NOT_SENT, 0, "too many open files")
    some = [replace(each, failure=ours) if n % 2 else each for n, each in enumerate(traffic())]
    proof = judged(some)
    assert (proof.verdict, proof.failed) == (Verdict.INCONCLUSIVE, 0)
    assert "the plan was sent" in fallen(proof)


@pytest.mark.parametrize(("kind", "failed"), [("local", 0), ("kubernetes", 1)])
def test_our_own_stall_excuses_a_time_out_only_where_the_request_passed_through_us(kind: str, failed: int) -> None:
    slow = untold(lost(500, "timeout", "await", after=1_000))
    proof = judged([*traffic(), slow], stalls=[Stall(at(DELETION + 600), 300 * MILLISECOND)], facts={"kind": kind})
    assert proof.failed == failed


def test_a_loss_is_failed_whatever_the_record_cannot_say() -> None:
    proof = judged([*traffic(), untold(lost(100, "refused"))], replace(GOOD, rate=0.0, clock_error=None))
    assert (proof.verdict, proof.failed) == (Verdict.FAILED, 1)


def test_a_refusal_of_an_unknown_pod_is_laid_on_the_one_that_was_going() -> None:
    (finding,) = judged([*traffic(), untold(replace(lost(20, "refused"), nth_on_connection=0))]).findings
    assert (finding.defect.code, finding.symptom) == ("LD101", "LD901")
    assert finding.as_dict()["spans"][0]["pods"] == ["old"]


def test_a_request_begun_after_the_stop_signal_on_an_unknown_connection_is_not_said_to_be_swallowed() -> None:
    begun = [untold(lost(200 + n, "closed", "await")) for n in range(3)]
    codes = {finding.defect.code for finding in judged([*traffic(), *begun]).findings}
    assert codes == {"LD999"}


@pytest.mark.parametrize(("lasted", "code"), [(0, "LD999"), (60, "LD803")])
def test_one_that_failed_at_once_as_its_pod_ended_may_have_met_a_dead_connection(lasted: float, code: str) -> None:
    cut = untold(lost(402 - lasted, "closed", "await", after=lasted))
    (finding,) = judged([*traffic(), cut]).findings
    assert finding.defect.code == code


def test_where_times_are_whole_seconds_only_what_holds_all_second_long_is_a_cause() -> None:
    coarse = replace(GOOD, precision=SECOND, client_view=False)
    cut = replace(untold(lost(0, "closed", "await", after=390)), routed_to="old")
    (finding,) = judged([*traffic(), cut], coarse).findings
    assert finding.defect.code == "LD999"
    assert "known to 1.00 s only" in " ".join(finding.evidence)


def test_a_failure_in_the_second_in_which_it_all_began_was_not_there_before() -> None:
    """Written down as 9.0 s, as all of that second: it may have been at 9.95 s, after the rollout began at 9.9 s."""
    few = traffic(step=100)
    refused = [replace(untold(lost(n, "refused")), nth_on_connection=0) for n in (20, 21, 22, 23)]
    cut_off = replace(refused[0], intended_start=at(9_000), actual_start=at(9_000), finished=at(9_001))
    assert coded(judged([*few, cut_off, *refused])) >= {"LD915"}  # at exact times it was there before
    assert "LD915" not in coded(judged([*few, cut_off, *refused], replace(GOOD, precision=SECOND)))


@pytest.mark.parametrize(("hop", "code"), [(True, "LD907"), (False, "LD913")])
def test_a_502_in_a_proxys_log_is_not_booked_as_the_pods_own_answer(hop: bool, code: str) -> None:
    wrong = replace(untold(lost(100, "bad_status", "validate", status=502)), routed_to="old")
    (finding,) = judged([*traffic(), wrong], replace(GOOD, client_view=not hop)).findings
    assert finding.defect.code == code


def test_nginx_tells_of_second_tries_and_k6_of_new_connections(tmp_path: Path) -> None:
    log = tmp_path / "log"
    line = '10.0.0.9 - - [25/Nov/2026:05:20:41 +0000] "GET / HTTP/1.1" 200 2 "-" "x" 0.034 {}\n'
    log.write_text(line.format("10.1.0.4:80") + line.format("10.1.0.4:80, 10.1.0.5:80"))
    imported = exchanges_from(log, "nginx")
    assert (imported.masked, imported.client_view, imported.precision) == (1, False, SECOND)
    assert [each.peer for each in imported.exchanges] == ["10.1.0.4:80", "10.1.0.5:80"]
    assert exchanges_from(Path(__file__).parent / "data" / "k6.json", "k6").hides_retries


def test_a_file_whose_writer_was_stopped_loses_its_last_line_and_says_so(tmp_path: Path) -> None:
    whole = (Path(__file__).parent / "data" / "vegeta.json").read_text().splitlines(keepends=True)
    file = tmp_path / "cut.json"
    file.write_text("".join(whole[:10]) + whole[10][:40])
    imported = exchanges_from(file, "vegeta")
    assert len(imported.exchanges) == 10
    assert "its last line is cut short and was left out" in imported.losses
