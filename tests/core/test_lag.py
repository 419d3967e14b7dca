from hypothesis import given
from hypothesis import strategies as st

from lameduck.core.exchange import Exchange, Lane
from lameduck.core.instants import MILLISECOND, SECOND
from lameduck.core.lag import Lag, Sender, fallback_spans, last_routed, measure, unready_spans
from lameduck.core.recording import Recording
from lameduck.core.timeline import Event, Mark, Milestone, Observation, PodHistory

NOT_READY = 100 * SECOND


def pod(name: str = "a") -> PodHistory:
    marks = {m: Mark(NOT_READY, 0, "") for m in (Milestone.DELETION_REQUESTED, Milestone.ENDPOINT_NOT_READY)}
    return PodHistory(name, marks)


def recording(*times: int, nth: int = 1) -> Recording:
    made = Recording()
    for at in times:
        made.add(Exchange(0, Lane.NEW, at, at, at, at, at, at, nth_on_connection=nth, routed_to="a"))
    return made


def test_the_lag_is_the_last_attempt_after_the_endpoint_left_also_when_it_was_refused() -> None:
    assert measure([pod()], recording(NOT_READY - 5, NOT_READY + 980 * MILLISECOND)).by_pod == {"a": 980 * MILLISECOND}


def test_a_reused_connection_is_no_attempt() -> None:
    assert measure([pod()], recording(NOT_READY + SECOND, nth=2)).by_pod == {}


def test_traffic_that_ended_before_the_endpoint_left_has_no_lag() -> None:
    assert measure([pod()], recording(NOT_READY - SECOND)).by_pod == {"a": 0}


def test_what_is_routed_while_no_endpoint_is_ready_is_meant_to_be() -> None:
    seen = [
        Observation(NOT_READY, Event.ROUTES_CHANGED, "", detail={"fallback": True}),
        Observation(NOT_READY + 5 * SECOND, Event.ROUTES_CHANGED, "", detail={}),
    ]
    spans = fallback_spans(seen)
    assert spans == [(NOT_READY, NOT_READY + 5 * SECOND)]
    assert measure([pod()], recording(NOT_READY + 2 * SECOND), spans).by_pod == {}


def test_a_fallback_that_never_ends_lasts_to_the_last_observation() -> None:
    assert fallback_spans([Observation(5, Event.ROUTES_CHANGED, "", detail={"fallback": True})]) == [(5, 5)]


def test_strays_after_a_long_silence_are_no_lag() -> None:
    steady = range(NOT_READY - 5 * SECOND, NOT_READY + SECOND, 10 * MILLISECOND)
    assert last_routed([*steady, NOT_READY + 8 * SECOND], NOT_READY) == steady[-1]


def test_a_trickle_after_the_traffic_has_moved_away_is_no_lag() -> None:
    steady = range(NOT_READY - 5 * SECOND, NOT_READY + SECOND, 20 * MILLISECOND)
    trickle = range(NOT_READY + 2 * SECOND, NOT_READY + 60 * SECOND, SECOND)
    assert last_routed([*steady, *trickle], NOT_READY) == steady[-1]


def test_one_node_of_ten_that_hears_late_is_lag() -> None:
    steady = range(NOT_READY - 5 * SECOND, NOT_READY + SECOND, 20 * MILLISECOND)
    slow_node = range(NOT_READY + SECOND, NOT_READY + 9 * SECOND, 200 * MILLISECOND)
    assert last_routed([*steady, *slow_node], NOT_READY) == slow_node[-1]


def test_a_balancer_that_goes_on_sending_for_two_minutes_is_lag() -> None:
    steady = range(NOT_READY - 5 * SECOND, NOT_READY + 120 * SECOND, SECOND // 2)
    assert last_routed(steady, NOT_READY) == steady[-1]


def test_at_a_low_rate_a_gap_is_no_silence() -> None:
    slow = range(NOT_READY - 15 * SECOND, NOT_READY + 40 * SECOND, 15 * SECOND)
    assert last_routed(slow, NOT_READY) == slow[-1]


def test_a_gap_counts_as_silence_only_beside_what_is_usual_for_the_pod() -> None:
    slow = [*range(NOT_READY - 5 * SECOND, NOT_READY, SECOND // 3), NOT_READY + 3 * SECOND]
    assert last_routed(slow, NOT_READY) == slow[-1]


@given(st.lists(st.integers(0, 200 * SECOND), min_size=1, max_size=60).map(sorted))
def test_the_last_routed_attempt_is_one_of_them_or_the_moment_the_endpoint_left(times: list[int]) -> None:
    assert last_routed(times, NOT_READY) in {*times, NOT_READY}


def test_the_suggested_pre_stop_is_the_lag_and_a_second_rounded_up_and_never_below_the_floor() -> None:
    cases = {
        (15, False): 3,
        (1_076, False): 3,
        (2_001, False): 4,
        (118_000, False): 119,
        (24, True): 5,
        (8_500, True): 10,
    }
    assert {case: Lag({"a": case[0] * MILLISECOND}, case[1]).suggested_pre_stop for case in cases} == cases


def test_nothing_measured_suggests_nothing() -> None:
    assert Lag({}).suggested_pre_stop is None


def test_a_span_without_any_ready_endpoint_is_one_of_fallback() -> None:
    def life(name: str, ready: int, not_ready: int | None) -> PodHistory:
        marks = {Milestone.ENDPOINT_READY: Mark(ready * SECOND, 0, "")}
        if not_ready is not None:
            marks[Milestone.ENDPOINT_NOT_READY] = Mark(not_ready * SECOND, 0, "")
        return PodHistory(name, marks)

    assert unready_spans([life("old", 1, 10), life("new", 12, None)]) == [(10 * SECOND, 12 * SECOND)]
    assert unready_spans([life("old", 1, 10), life("new", 9, None)]) == []
    assert unready_spans([life("old", 1, 10)]) == [(10 * SECOND, 1 << 62)]
    assert unready_spans([life("old", 1, 10), life("new", 10, None)]) == []


def ending(at: int, precision: int = 0) -> PodHistory:
    alive = pod()
    return PodHistory("a", {**alive.marks, Milestone.EXITED: Mark(at, precision, "")})


def served(*times: int) -> Recording:
    made = Recording()
    for at in times:
        made.add(Exchange(0, Lane.NEW, at, at, at, at, at, at, nth_on_connection=1, served_by="a"))
    return made


def test_by_who_answered_the_lag_is_exact_where_the_pod_outlived_it_and_a_lower_bound_where_it_did_not() -> None:
    last, later = NOT_READY + 40 * MILLISECOND, NOT_READY + 5 * SECOND
    exact = measure([ending(later)], served(NOT_READY - 5, last), routes_known=False)
    assert (exact.by_pod, exact.censored) == ({"a": 40 * MILLISECOND}, False)
    assert measure([ending(last + 60 * MILLISECOND)], served(last), routes_known=False).censored
    assert measure([ending(last + 500 * MILLISECOND, 250 * MILLISECOND)], served(last), routes_known=False).censored
    assert measure([pod()], served(last), routes_known=False).censored
    assert not measure([ending(last + 60 * MILLISECOND)], recording(last)).censored


def test_failed_attempts_that_only_one_pod_can_have_met_lengthen_the_lag() -> None:
    tied = {"a": [NOT_READY + 900 * MILLISECOND]}
    lag = measure([ending(NOT_READY + 60 * MILLISECOND)], served(NOT_READY + 40), routes_known=False, tied=tied)
    assert (lag.by_pod, lag.censored) == ({"a": 900 * MILLISECOND}, True)


def test_each_node_has_its_own_lag() -> None:
    made = served(NOT_READY + 10 * MILLISECOND, NOT_READY + 20 * MILLISECOND, NOT_READY + 700 * MILLISECOND)
    parts = [Sender("node-1", 0, 2), Sender("node-2", 2, 3)]
    lag = measure([ending(NOT_READY + 9 * SECOND)], made, routes_known=False, senders=parts)
    assert lag.by_pod == {"a": 700 * MILLISECOND}
    assert lag.by_node == {"node-1": {"a": 20 * MILLISECOND}, "node-2": {"a": 700 * MILLISECOND}}
