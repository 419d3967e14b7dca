"""Every row of the ordered table, with its neighbours: what decides, and what must not."""

from dataclasses import replace

import pytest
from tests.diagnosis.worlds import DELETION, at, fine, going, life, lost, run_of, steady

from lameduck.core.exchange import Exchange
from lameduck.core.instants import MILLISECOND, SECOND
from lameduck.core.proof import Stall
from lameduck.core.timeline import Event, Milestone, Observation
from lameduck.defects.judge import examine, judge

OTHER = life("other", created=0, started=100, listening=200, ready=400)
QUIET_EXIT = going(listener_closed=12, exited=60)
KILLED = {"stop_signal": {"signal": "SIGTERM", "pid1": "python", "caught": False}, "exited": {"code": 137}}


RUN = {"forwarded": {"signal": "SIGTERM", "waited_ns": 0}}
HELD = {"forwarded": {"signal": "SIGTERM", "waited_ns": SECOND}}


def shell(*, caught: bool = False, code: int = 137) -> dict[str, dict[str, object]]:
    return {
        "stop_signal": {"signal": "SIGTERM", "pid1": "bash", "is_shell": True, "caught": caught},
        "exited": {"code": code},
    }


def left_behind(world: list[Observation]) -> list[Observation]:
    return [*world, Observation(at(DELETION + 40), Event.POD_FACT, "old", detail={"left_behind": 1})]


def told_late(world: list[Observation]) -> list[Observation]:
    late = {Milestone.EXITED, Milestone.KILLED}
    return [replace(seen, precision=250 * MILLISECOND) if seen.what in late else seen for seen in world]


def codes(
    world: list[Observation], *exchanges: Exchange, facts: dict[str, object] | None = None
) -> list[tuple[str, str]]:
    run = run_of([*world, *OTHER], [*steady(20_000), *exchanges], facts=facts)
    return [(f.defect.code, f.symptom) for f in judge(run).findings if f.symptom != "LD911" and f.count]


def hook(after: float, *, ok: bool = True, missing: bool = False) -> list[Observation]:
    details = {"prestop_finished": {"ok": ok, "missing_binary": missing}}
    return going(details=details, prestop_started=1, prestop_finished=after, stop_signal=after + 5, exited=after + 50)


CUT_HOOK = {"prestop_finished": {"ok": False, "cut": True}}

ROWS = {
    "refused while the endpoint was still routed to": (
        QUIET_EXIT, [lost(100, "refused")], ("LD101", "LD901")),
    "swallowed: a time-out is judged at its SYN, not when it ended": (
        QUIET_EXIT, [lost(900, "timeout", after=5_000)], ("LD101", "LD901")),
    "unreachable is the same failure": (
        QUIET_EXIT, [lost(900, "unreachable", after=3_070)], ("LD101", "LD901")),
    "the hook's binary is not in the image": (
        hook(30, ok=False, missing=True), [lost(100, "refused")], ("LD104", "LD901")),
    "the hook fails at once": (
        hook(30, ok=False), [lost(100, "refused")], ("LD105", "LD901")),
    "the hook itself stopped the server": (
        going(details=CUT_HOOK, prestop_started=1, listener_closed=20, exited=30, prestop_finished=31,
              stop_signal=None),
        [lost(300, "refused")], ("LD107", "LD901")),
    "the hook itself stopped the server, with a request in hand": (
        going(details=CUT_HOOK, prestop_started=1, exited=30, prestop_finished=31, stop_signal=None),
        [lost(5, "closed", "await", after=26)], ("LD107", "LD902")),
    "a stop signal that nobody can catch": (
        going(details={"stop_signal": {"signal": "SIGKILL", "pid1": "server"}}, exited=12),
        [lost(300, "refused")], ("LD504", "LD901")),
    "the hook ran and was too short": (
        hook(1_000), [lost(1_050, "refused")], ("LD109", "LD901")),
    "a hook that failed late delayed the signal until then": (
        hook(1_000, ok=False), [lost(1_050, "refused")], ("LD109", "LD901")),
    "long after the endpoint left: the data plane": (
        going(exited=60), [lost(8_000, "timeout", after=5_000)], ("LD914", "LD914")),
    "long after the endpoint left, by a pod that stands in while none is ready": (
        [*hook(5_000), *life("next", created=50, started=1_000)], [lost(5_100, "refused")], ("LD202", "LD901")),
    "long after the endpoint left, though another one is ready": (
        [*hook(5_000), *life("next", created=50, started=1_000, endpoint_ready=1_500)],
        [lost(5_100, "refused")], ("LD914", "LD914")),
    "no endpoint at all": (
        QUIET_EXIT, [lost(100, "refused", pod="")], ("LD202", "LD901")),
    "SIGKILL, and PID 1 is a shell without a handler": (
        going(details=shell(), exited=6_010, killed=6_000, gone=6_900),
        [lost(5_500, "closed", "await", lane="reuse", nth=7, after=510)], ("LD401", "LD903")),
    "SIGKILL, and the shell caught the signal for itself": (
        going(details=shell(caught=True), exited=6_010, killed=6_000, gone=6_900),
        [lost(5_500, "closed", "await", lane="reuse", nth=7, after=510)], ("LD403", "LD903")),
    "SIGKILL, and PID 1 has no handler": (
        going(details=KILLED, exited=6_010, killed=6_000, gone=6_900),
        [lost(5_500, "closed", "await", lane="reuse", nth=7, after=510)], ("LD903", "LD903")),
    "SIGKILL, and PID 1 took its handler away and raised the signal again, as Node does": (
        [*going(exited=6_010, killed=6_000, gone=6_900),
         Observation(at(DELETION + 6_010), Event.POD_FACT, "old", detail={"handler_gone": True})],
        [lost(5_500, "closed", "await", lane="reuse", nth=7, after=510)], ("LD903", "LD903")),
    "SIGKILL, and a busy machine noticed the exit late": (
        going(details=shell(), exited=6_500, killed=6_000, gone=6_900),
        [lost(5_900, "closed", "await", lane="reuse", nth=7, after=160)], ("LD401", "LD903")),
    "SIGKILL, and PID 1 ignores the signal on purpose": (
        going(details={**KILLED, "stop_signal": {"pid1": "python", "caught": False, "ignored": True}},
              exited=6_010, killed=6_000, gone=6_900),
        [lost(5_500, "reset", "await", lane="reuse", nth=7, after=510)], ("LD406", "LD903")),
    "SIGKILL although the app had closed its listener": (
        going(details={"exited": {"code": 137}}, listener_closed=20, exited=6_010, killed=6_000, gone=6_900),
        [lost(5, "closed", "await", after=6_005)], ("LD102", "LD904")),
    "SIGKILL after a handler of which nothing came": (
        going(details={"exited": {"code": 137}}, exited=6_010, killed=6_000, gone=6_900),
        [lost(5_500, "closed", "await", lane="reuse", nth=7, after=510)], ("LD904", "LD904")),
    "a listener that closes with SIGKILL is no reaction": (
        going(details={"exited": {"code": 137}}, listener_closed=6_005, exited=6_010, killed=6_000, gone=6_900),
        [lost(5_500, "closed", "await", lane="reuse", nth=7, after=510)], ("LD904", "LD904")),
    "an end that the API told of late, with the listener closed by it": (
        told_late(going(details={"exited": {"code": 137}}, listener_closed=6_005, exited=6_200, killed=6_200)),
        [lost(5_500, "closed", "await", lane="reuse", nth=7, after=502)], ("LD904", "LD904")),
    "a kill that the API told of late, of a shell that was asked by exec": (
        told_late(going(details=shell(), exited=6_200, killed=6_200)),
        [lost(5_500, "closed", "await", lane="reuse", nth=7, after=502)], ("LD401", "LD903")),
    "an exit that cuts what is in hand": (
        QUIET_EXIT, [lost(-40, "closed", "await", after=100)], ("LD803", "LD902")),
    "truncated by an exit": (
        QUIET_EXIT, [lost(-40, "truncated", "read", after=100, first_byte=-30)], ("LD803", "LD902")),
    "a long stream": (
        QUIET_EXIT, [lost(-8_000, "truncated", "read", after=8_060, first_byte=-7_990)], ("LD909", "LD909")),
    "a shell that left before its child": (
        left_behind(going(details=shell(caught=True, code=143), exited=40)),
        [lost(-40, "closed", "await", after=80)], ("LD404", "LD902")),
    "an init that left before the app": (
        left_behind(going(details={"stop_signal": {"pid1": "tini", "is_init": True}}, exited=40)),
        [lost(-40, "closed", "await", after=80)], ("LD402", "LD902")),
    "a launcher that took half a second to leave the app behind": (
        [*going(details={"stop_signal": {"pid1": "node", "launcher": "npm"}}, exited=515),
         Observation(at(DELETION + 515), Event.POD_FACT, "old", detail={"left_behind": 1, "cut_off": 1})],
        [lost(-40, "closed", "await", after=556)], ("LD507", "LD902")),
    "a launcher that may have ended after the app": (
        [*going(details={"stop_signal": {"pid1": "node", "launcher": "npm"}}, exited=515),
         Observation(at(DELETION + 515), Event.POD_FACT, "old", detail={"left_behind": 1, "cut_off": 0})],
        [lost(-40, "closed", "await", after=556)], ("LD803", "LD902")),
    "SIGKILL, and the launcher had kept the signal for itself": (
        going(details={**KILLED, "stop_signal": {"pid1": "node", "caught": True, "launcher": "pnpm"}},
              exited=6_010, killed=6_000, gone=6_900),
        [lost(5_500, "closed", "await", lane="reuse", nth=7, after=510)], ("LD507", "LD903")),
    "a server whose graceful signal is another": (
        going(details={"stop_signal": {"signal": "SIGTERM", "pid1": "nginx", "server": "nginx", "caught": True}},
              listener_closed=12, exited=20),
        [lost(-40, "closed", "await", after=60)], ("LD505", "LD902")),
    "a wrong answer of a server whose graceful signal is another": (
        going(details={"stop_signal": {"signal": "SIGQUIT", "pid1": "python3", "server": "gunicorn"}}, exited=900),
        [lost(-40, "bad_status", "await", after=60, status=500)], ("LD505", "LD913")),
    "a shell that waited and whose server ended at once": (
        going(details=shell(caught=True, code=143), exited=40),
        [lost(-40, "closed", "await", after=80)], ("LD803", "LD902")),
    "a worker that ended long before process 1 did": (
        [*going(listener_closed=12, exited=900),
         Observation(at(DELETION + 905), Event.POD_FACT, "old", detail={"process_ends": [at(DELETION + 20)]})],
        [lost(15, "closed", "await", lane="reuse", nth=9, after=8)], ("LD803", "LD902")),
    "a drain that gives up": (
        going(listener_closed=20, exited=3_020, gone=3_900),
        [lost(-100, "closed", "await", after=3_120)], ("LD801", "LD902")),
    "a crash is no shutdown": (
        [*going(exited=60), *life("crashed", created=0, listening=10, exited=DELETION + 2_000)],
        [lost(1_900, "closed", "await", after=100, pod="crashed")], ("LD902", "LD902")),
    "reset in the backlog as the listener closes": (
        going(listener_closed=300, exited=900), [lost(-50, "reset", "await", after=352)], ("LD912", "LD912")),
    "accepted after the stop signal, never answered": (
        going(exited=8_000, gone=8_900), [lost(100, "timeout", "await", after=5_000)], ("LD905", "LD905")),
    "an idle connection closed on the stop signal": (
        going(listener_closed=12, exited=900), [lost(12, "closed", "await", lane="reuse", nth=9, after=2)],
        ("LD906", "LD906")),
    "in hand at the stop signal and cut while the process lives on": (
        going(listener_closed=12, exited=900), [lost(-50, "closed", "await", lane="reuse", nth=9, after=250)],
        ("LD803", "LD902")),
    "a wrong status only after the stop signal": (
        going(exited=900), [lost(100, "bad_status", "validate", status=400, after=3)], ("LD913", "LD913")),
    "a steady-state race on an idle connection": (
        going(exited=60), [lost(-5_000, "reset", "await", lane="reuse", nth=3, pod="other", after=1)],
        ("LD605", "LD906")),
    "a race on an idle connection while the preStop still holds the signal back": (
        hook(5_000), [lost(3_000, "reset", "await", lane="reuse", nth=3, after=1)], ("LD605", "LD906")),
    "a race on an idle connection of an app that the signal never reached": (
        going(details=shell(), exited=6_010, killed=6_000, gone=6_900),
        [lost(3_000, "reset", "await", lane="reuse", nth=3, after=1)], ("LD605", "LD906")),
    "refused after lameduck-pod run had passed the signal on at once": (
        going(details=RUN, forwarded=11, listener_closed=12, exited=60), [lost(100, "refused")], ("LD101", "LD901")),
    "refused after a lame-duck time that was too short": (
        going(details=HELD, forwarded=1_010, listener_closed=1_012, exited=1_060, gone=1_900),
        [lost(1_100, "refused")], ("LD109", "LD901")),
    "a race on an idle connection while lameduck-pod run still holds the signal back": (
        going(details=HELD, forwarded=5_010, exited=5_060, gone=5_900),
        [lost(3_000, "reset", "await", lane="reuse", nth=3, after=1)], ("LD605", "LD906")),
    "SIGKILL long after lameduck-pod run had passed the signal on": (
        going(details={**HELD, "exited": {"code": 137}}, forwarded=1_010, exited=6_010, killed=6_000, gone=6_900),
        [lost(5_500, "closed", "await", lane="reuse", nth=7, after=510)], ("LD904", "LD904")),
    "cut soon after the signal was passed on, long after it came": (
        going(details=HELD, listener_closed=3_012, forwarded=3_010, exited=3_060, gone=3_900),
        [lost(2_900, "closed", "await", after=160)], ("LD803", "LD902")),
    "a new pod that does not listen yet": (
        [*going(exited=60), *life("new", created=9_000, started=9_500, ready=9_500, listening=12_500)],
        [lost(100, "refused", pod="new")], ("LD301", "LD910")),
}  # fmt: skip


@pytest.mark.parametrize("row", ROWS, ids=list(ROWS))
def test_each_row_of_the_table_decides(row: str) -> None:
    world, exchanges, expected = ROWS[row]
    assert expected in codes(world, *exchanges)
    run = run_of([*world, *OTHER], [*steady(20_000), *exchanges])
    causes = [(cause.code, cause.symptom) for _, cause in examine(run).cases]
    assert causes == [expected] * len(exchanges), "the failure's own cause, not another finding of the same name"


def test_recreate_is_named_where_the_strategy_is_known() -> None:
    found = codes(QUIET_EXIT, lost(100, "refused", pod=""), facts={"details": {"strategy": "Recreate"}})
    assert ("LD201", "LD901") in found


def test_no_endpoint_without_any_deletion_is_unexplained_and_nobodys_fault() -> None:
    assert ("LD999", "LD999") in codes(QUIET_EXIT, lost(-50, "refused", pod=""))


def test_what_was_as_frequent_in_the_baseline_is_not_blamed_on_the_rollout() -> None:
    broken = [lost(n * 300 - 9_000, "bad_status", "validate", status=500, pod="other") for n in range(50)]
    assert codes(QUIET_EXIT, *broken) == [("LD915", "LD915")]


def test_one_failure_in_the_baseline_does_not_excuse_hundreds_in_the_rollout() -> None:
    before = lost(-5_000, "refused", pod="other")
    during = [lost(50 + n, "refused") for n in range(300)]
    assert set(codes(QUIET_EXIT, before, *during)) == {("LD915", "LD915"), ("LD101", "LD901")}


def test_a_wrong_status_that_the_pod_gave_before_too_is_not_blamed_on_stopping() -> None:
    before = lost(-20, "bad_status", "validate", status=404)
    found = codes(going(exited=900), before, lost(100, "bad_status", "validate", status=404))
    assert found == [("LD999", "LD999")]


def test_a_stop_signal_that_is_known_roughly_makes_no_answer_one_from_before_it() -> None:
    world = [
        replace(seen, precision=60 * MILLISECOND) if seen.what is Milestone.STOP_SIGNAL else seen
        for seen in going(exited=900)
    ]
    answers = [lost(n, "bad_status", "validate", status=503, after=1) for n in (5, 50, 100)]  # told at 10 ms
    assert codes(world, *answers) == [("LD913", "LD913")]


@pytest.mark.parametrize(("waits", "remedy"), [(0, "wait 3 s"), (2, "wait 3 s"), (10, "Connection: close")])
def test_a_pre_stop_that_is_long_enough_is_not_asked_for_again(waits: int, remedy: str) -> None:
    world = going(prestop_started=0, prestop_finished=10_000, stop_signal=10_000, exited=10_900, gone=11_500)
    refused = lost(10_100, "bad_status", "validate", lane="reuse", nth=4, status=503, after=1)
    run = run_of([*world, *OTHER], [*steady(25_000), refused], facts={"pre_stop_delay": waits * SECOND}, ended=25_000)
    (found,) = (each for each in judge(run).findings if each.defect.code == "LD913")
    assert found.fix is not None
    assert remedy in found.fix.title


def test_a_signal_that_cuts_behind_a_pre_stop_that_is_long_enough_is_what_is_to_be_mended() -> None:
    nginx = {"stop_signal": {"signal": "SIGTERM", "pid1": "nginx", "server": "nginx", "caught": True}}
    world = going(details=nginx, prestop_started=0, prestop_finished=4_000, stop_signal=4_000, exited=4_010, gone=5_000)
    cut = lost(3_990, "truncated", "read", lane="reuse", nth=4, first_byte=3_995, after=19)
    run = run_of([*world, *OTHER], [*steady(20_000), cut], facts={"pre_stop_delay": 4 * SECOND})
    (found,) = (each for each in judge(run).findings if each.defect.code == "LD505")
    assert found.fix is not None and not found.fix.patches
    assert "long enough; what is missing is the signal" in found.fix.title


def test_the_accept_queue_is_stronger_evidence_than_the_exit() -> None:
    seen = Observation(at(DELETION + 890), Event.POD_FACT, "old", detail={"unaccepted_ports": [41_000]})
    world = [*going(exited=900), seen]
    waiting = lost(-60, "reset", "await", after=961, port=41_000)
    served = lost(-60, "closed", "await", after=961, port=41_001)
    assert set(codes(world, waiting, served)) == {("LD912", "LD912"), ("LD803", "LD902")}


@pytest.mark.parametrize(
    ("stalls", "symptom"), [((), "LD906"), ((Stall(at(DELETION + 3_005), 300 * MILLISECOND),), "LD903")]
)
def test_a_cut_that_we_noticed_late_by_our_own_stall_may_have_come_with_the_exit(
    stalls: tuple[Stall, ...], symptom: str
) -> None:
    """SIGKILL at 3 s, noticed 305 ms later: without a stall of ours that is another cut."""
    world = going(details=shell(), killed=3_000, exited=3_008, gone=3_900)
    cut = lost(2_990, "closed", "await", after=320, nth=5, lane="reuse")
    run = run_of([*world, *OTHER], [*steady(20_000), cut], stalls=stalls)
    symptoms = {finding.symptom for finding in judge(run).findings} - {"LD911"}
    assert symptoms == {symptom, "LD903"}, "killed it was anyway"


@pytest.mark.parametrize(
    ("marks", "told", "kind", "nth", "cause"),
    [
        ({"listener_closed": 870}, True, "reset", 1, ("LD912", "LD912")),
        ({"listener_closed": 870}, False, "reset", 1, ("LD803", "LD902")),
        ({"listener_closed": 870}, True, "closed", 1, ("LD803", "LD902")),
        ({"listener_closed": 870}, True, "reset", 4, ("LD803", "LD902")),
        ({}, True, "reset", 1, ("LD912", "LD912")),
        ({"killed": 885}, True, "reset", 1, ("LD904", "LD904")),
    ],
    ids=["in the queue", "an accepted one was reset", "no reset", "kept alive", "never seen to close", "killed"],
)
def test_a_reset_just_before_the_exit_is_the_accept_queues_where_the_kernel_reset_nothing_that_was_accepted(
    marks: dict[str, float], told: bool, kind: str, nth: int, cause: tuple[str, str]
) -> None:
    """A server that closes its listener and ends 20 ms later: the exit is as near as the close."""
    seen = Observation(at(DELETION + 890), Event.POD_FACT, "old", detail={"none_reset_once_accepted": told})
    cut = lost(-60, kind, "await", after=935, nth=nth, lane="new" if nth == 1 else "reuse")
    assert codes([*going(exited=890, **marks), seen], cut) == [cause]


def test_candidates_that_agree_decide_the_cause_and_candidates_that_differ_do_not() -> None:
    twins = [*going("old", listener_closed=12, exited=60), *going("twin", listener_closed=12, exited=60)]
    unknown = Exchange(**{**_fields(lost(100, "refused")), "routed_to": "elsewhere"})
    run = run_of(twins, [*steady(DELETION, pods=("old", "twin")), unknown])
    (finding,) = [f for f in judge(run).findings if f.symptom != "LD911"]
    assert (finding.defect.code, finding.locations[0].pods) == ("LD101", ("old", "twin"))
    broken = [*going("old", listener_closed=12, exited=60), *_renamed(hook(30, ok=False), "twin")]
    run = run_of(broken, [*steady(DELETION, pods=("old", "twin")), unknown])
    (finding,) = [f for f in judge(run).findings if f.symptom != "LD911"]
    assert finding.defect.code == "LD999"


def test_a_pod_that_stood_there_ready_did_not_refuse_and_no_pod_is_blamed_where_all_did() -> None:
    unknown = Exchange(**{**_fields(lost(100, "refused")), "routed_to": "elsewhere"})
    run = run_of([*QUIET_EXIT, *OTHER], [*steady(20_000), unknown])
    (finding,) = [f for f in judge(run).findings if f.symptom != "LD911"]
    assert (finding.defect.code, finding.locations[0].pods) == ("LD101", ("old",))
    alive = run_of(OTHER, [*steady(20_000), unknown])
    (finding,) = [f for f in judge(alive).findings if f.symptom != "LD911"]
    assert finding.defect.code == "LD999"


def test_a_connection_that_was_made_after_a_pods_end_was_not_made_to_it() -> None:
    first = going("old", details=shell(), exited=6_010, killed=6_000, gone=6_900)
    earlier = [Observation(each.at - 5 * SECOND, each.what, "early", detail=each.detail) for each in QUIET_EXIT]
    cut = Exchange(
        **{**_fields(lost(5_500, "closed", "await", lane="reuse", nth=7, after=510)), "routed_to": "elsewhere"}
    )
    run = run_of([*first, *earlier, *OTHER], [*steady(20_000), cut])
    (finding,) = [f for f in judge(run).findings if f.symptom != "LD911"]
    assert (finding.defect.code, finding.locations[0].pods) == ("LD401", ("old",))


def test_a_pod_that_had_ended_is_no_candidate_for_a_race_on_a_connection_made_afterwards() -> None:
    raced = lost(4_000, "reset", "await", lane="reuse", nth=3, after=1)
    cut = Exchange(**{**_fields(raced), "routed_to": "elsewhere"})
    run = run_of([*QUIET_EXIT, *OTHER], [*steady(20_000), cut])
    (finding,) = [f for f in judge(run).findings if f.symptom != "LD911"]
    assert (finding.defect.code, finding.symptom, finding.locations[0].pods) == ("LD605", "LD906", ("other",))


def _renamed(world: list[Observation], pod: str) -> list[Observation]:
    return [Observation(each.at, each.what, pod, detail=each.detail) for each in world]


def _fields(exchange: Exchange) -> dict[str, object]:
    return {name: getattr(exchange, name) for name in Exchange.__slots__}


def test_exit_137_with_nothing_lost_is_a_warning_beside_the_verdict() -> None:
    world = going(details=shell(), exited=6_010, killed=6_000, gone=6_900)
    proof = judge(run_of([*world, *OTHER], steady(20_000)))
    assert proof.failed == 0
    (finding,) = [f for f in proof.findings if f.symptom == "LD903"]
    assert finding.defect.code == "LD401"
    assert finding.severity is not None
    assert finding.severity.value == "warning"
    assert finding.fix is not None
    assert "exec" in finding.fix.patches[0].snippet


def test_a_fix_of_the_start_script_always_comes_with_the_drain_window() -> None:
    world = going(details=shell(), exited=6_010, killed=6_000, gone=6_900)
    run = run_of([*world, *OTHER], [*steady(20_000), lost(5_500, "closed", "await", lane="reuse", nth=7, after=510)])
    fix = judge(run).findings[0].fix
    assert fix is not None
    texts = " ".join(patch.snippet for patch in fix.patches)
    assert "exec" in texts
    assert "preStop" in texts
    assert "terminationGracePeriodSeconds" in texts


def test_a_pre_stop_far_beyond_the_lag_is_mentioned() -> None:
    world = going(
        details={"prestop_finished": {"ok": True}}, prestop_finished=15_000, stop_signal=15_005, exited=15_050
    )
    run = run_of([*world, *OTHER], [*steady(20_000), fine(DELETION + 500)], facts={"pre_stop_delay": 15 * SECOND})
    assert [f.defect.code for f in judge(run).findings] == ["LD911"]


def test_a_grace_period_of_zero_is_the_cause_whatever_hook_there_was() -> None:
    world = hook(30, ok=False)
    assert codes(world, lost(100, "refused"), facts={"grace": 0}) == [("LD103", "LD901")]
    assert codes(world, lost(100, "refused")) == [("LD105", "LD901")]
