"""What a hop met at the pod is judged in place of what the client saw."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.diagnosis.test_diagnose import OTHER, QUIET_EXIT, hook, shell
from tests.diagnosis.worlds import fine, going, lost, run_of, steady

from lameduck.core.exchange import Behind, Exchange, Kind, Stage
from lameduck.core.join import NO_ENDPOINT
from lameduck.core.proof import Verdict
from lameduck.core.timeline import Observation
from lameduck.defects.judge import judge


def through(exchange: Exchange, stage: str, kind: str, *, reused: bool = False, after: int = 0) -> Exchange:
    """The same failure with what the hop met behind it; ``after`` in ms."""
    assert exchange.failure is not None
    detail = "" if exchange.routed_to else NO_ENDPOINT
    behind = Behind(Stage(stage), Kind(kind), reused, 0, after * 1_000_000, detail)
    return replace(exchange, failure=replace(exchange.failure, detail="", behind=behind))


def gateway(ms: float, *, after: float = 1, pod: str = "old") -> Exchange:
    """A 502 that the client got."""
    return lost(ms, "bad_status", "validate", status=502, after=after, pod=pod, first_byte=ms + after)


CUT = lost(55, "bad_status", "validate", status=502, after=10, sent=56, first_byte=65)
ROWS = {
    "refused by a pod that had stopped": (QUIET_EXIT, through(gateway(100), "connect", "refused"), ("LD101", "LD907")),
    "refused after a preStop that was too short": (
        hook(1_000), through(gateway(1_060), "connect", "refused"), ("LD109", "LD907")),
    "swallowed: the client's own time-out": (
        QUIET_EXIT, through(lost(900, "timeout", "await", after=5_000), "connect", "timeout"), ("LD101", "LD901")),
    "cut in hand by an exit": (QUIET_EXIT, through(CUT, "await", "closed"), ("LD803", "LD907")),
    "cut by SIGKILL behind a shell": (
        going(details=shell(), exited=6_010, killed=6_000, gone=6_900),
        through(gateway(5_990, after=20), "await", "closed"), ("LD401", "LD907")),
    "a reused connection that a healthy pod had ended": (
        going(exited=60), through(gateway(100, pod="other"), "await", "closed", reused=True), ("LD605", "LD907")),
    "nobody to send it to": (QUIET_EXIT, through(gateway(100, pod=""), "connect", "refused"), ("LD202", "LD907")),
    "a second try is judged when it was made, not when the request began": (
        QUIET_EXIT, through(gateway(-8, after=25), "connect", "refused", after=24), ("LD101", "LD907")),
    "a refusal by a pod that lives on stays unexplained": (
        QUIET_EXIT, through(gateway(100, pod="other"), "connect", "refused"), ("LD999", "LD999")),
}  # fmt: skip


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS.keys())
def test_what_decides(row: tuple[list[Observation], Exchange, tuple[str, str]]) -> None:
    world, exchange, expected = row
    run = run_of([*world, *OTHER], [*steady(20_000), exchange])
    found = [f for f in judge(run).findings if f.symptom != "LD911" and f.count]
    assert [(f.defect.code, f.symptom) for f in found] == [expected]


def test_the_finding_says_that_it_is_the_hops_own_connection() -> None:
    run = run_of([*QUIET_EXIT, *OTHER], [*steady(20_000), through(gateway(100), "connect", "refused")])
    (finding,) = [f for f in judge(run).findings if f.symptom == "LD907"]
    assert finding.evidence[1] == "the hop's own connection to the pod: no preStop delayed the stop signal"
    assert finding.fix is not None


def test_what_a_retry_masked_is_counted_and_said() -> None:
    run = run_of([*QUIET_EXIT, *OTHER], [*steady(20_000), fine(100)])
    clean = judge(run)
    assert clean.masked == 0
    run.recording.flags[-1] |= 2
    masked = judge(run)
    assert (masked.masked, masked.failed, masked.as_dict()["masked_by_retries"]) == (1, 0, 1)
    assert [gate.name for gate in masked.gates if gate not in clean.gates] == ["nothing was masked by retries"]
    assert (clean.verdict, masked.verdict) == (Verdict.PROVEN, Verdict.INCONCLUSIVE)
    assert masked.sentence.endswith("; 1 more would have been but for a hop's retry: masked, not mended")


def silent(exchange: Exchange) -> Exchange:
    """A failure that a hop made without a word of its own, whichever pod it was."""
    assert exchange.failure is not None
    return replace(exchange, routed_to="", failure=replace(exchange.failure, detail=""))


SILENT = {
    "502 while a pod was ending": (QUIET_EXIT, silent(gateway(100)), [("LD101", "LD907")]),
    "no answer at all, begun while a pod was ending": (
        QUIET_EXIT, silent(lost(900, "timeout", "await", after=5_000)), [("LD101", "LD901")]),
    "502 after a preStop that was too short": (hook(1_000), silent(gateway(1_400)), [("LD109", "LD907")]),
    "502 of a request in hand at the exit": (
        QUIET_EXIT, silent(lost(-40, "bad_status", "validate", status=502, after=100, first_byte=55)),
        [("LD803", "LD907")]),
    "closed by a balancer that could not reach the pod": (
        hook(1_000), silent(lost(1_400, "closed", "await", after=20)), [("LD109", "LD901")]),
    "502 while no pod was ending": (QUIET_EXIT, silent(gateway(8_000)), [("LD907", "LD907")]),
}  # fmt: skip


@pytest.mark.parametrize("row", SILENT.values(), ids=SILENT.keys())
def test_a_hop_that_says_nothing_is_judged_by_the_pods_that_were_ending(
    row: tuple[list[Observation], Exchange, list[tuple[str, str]]],
) -> None:
    world, exchange, expected = row
    told = [replace(each, served_by="other") for each in steady(20_000)]
    judged = judge(run_of([*world, *OTHER], [*told, exchange], facts={"details": {"via": "ingress"}}))
    found = [f for f in judged.findings if f.symptom != "LD911" and f.count]
    assert [(f.defect.code, f.symptom) for f in found] == expected
    assert all(f.confidence.value == "likely" for f in found if f.defect.code != "LD907")


def test_a_502_may_be_the_pods_own_where_pods_do_not_name_themselves() -> None:
    run = run_of([*QUIET_EXIT, *OTHER], [*steady(20_000), silent(gateway(100))], facts={"details": {"via": "ingress"}})
    assert "LD907" not in {finding.symptom for finding in judge(run).findings}
