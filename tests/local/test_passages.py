"""Which pod a request of somebody else's load went to: tables of what passed, and what may be said of it."""

from dataclasses import replace

import pytest

from lameduck.core.exchange import Exchange, Failure, Kind, Lane, Stage
from lameduck.core.instants import MILLISECOND
from lameduck.core.join import CLOSED_BEFORE, NO_ENDPOINT
from lameduck.core.recording import Recording
from lameduck.local.passages import End, Passage, attribute


def ms(value: float) -> int:
    return int(value * MILLISECOND)


def lost(start: float, end: float, kind: Kind = Kind.CLOSED) -> Exchange:
    failure = Failure(Stage.AWAIT, kind, 0, "the tool's words")
    return Exchange(0, Lane.UNKNOWN, ms(start), ms(start), ms(start), None, None, ms(end), failure=failure)


def through(pod: str, end: End | None = End.BY_POD, requests: int = 1, **times: float) -> Passage:
    return Passage(pod=pod, end=end, requests=requests, **{name: ms(at) for name, at in times.items()})


def told(exchange: Exchange, *passages: Passage) -> Exchange:
    recording = Recording()
    recording.add(exchange)
    attribute(recording, passages)
    return recording.exchange(0)


CUT = through("a", opened=999, connected=999.5, asked=1000, ended=1010)
OTHER = replace(CUT, pod="b")
OLD = through("a", opened=100, connected=101, asked=1000, answered=900, ended=1010, requests=7)
REFUSED = through("a", End.REFUSED, opened=1000, ended=1001, requests=0)
REJECTED = replace(REFUSED, end=End.REJECTED, pod="")
SWALLOWED = through("a", End.BY_CLIENT, opened=1000, ended=3000, requests=0)


def test_a_request_cut_without_an_answer_went_where_the_connection_that_asked_meanwhile_went() -> None:
    found = told(lost(999, 1011), CUT, through("b", opened=1, connected=2, asked=500, answered=600, ended=1010))
    assert (found.routed_to, found.lane, found.nth_on_connection, found.sent) == ("a", Lane.NEW, 1, ms(1000))
    assert found.failure is not None
    assert found.failure.detail == "the tool's words"


def test_of_a_kept_alive_connection_its_number_of_requests_and_its_idle_time_are_known() -> None:
    found = told(lost(999, 1011), OLD)
    assert (found.routed_to, found.lane, found.nth_on_connection, found.idle) == ("a", Lane.REUSE, 7, ms(100))


def test_two_connections_to_one_pod_name_the_pod_and_to_two_pods_name_none() -> None:
    assert told(lost(999, 1011), CUT, CUT).routed_to == "a"
    assert told(lost(999, 1011), CUT, CUT).nth_on_connection == 0
    assert told(lost(999, 1011), CUT, OTHER).routed_to == ""


@pytest.mark.parametrize(
    ("passage", "kind", "span", "failure"),
    [
        (REFUSED, Kind.RESET, (999, 1002), Failure(Stage.CONNECT, Kind.REFUSED, 111)),
        (REJECTED, Kind.CLOSED, (999, 1002), Failure(Stage.CONNECT, Kind.REFUSED, 111)),
        (SWALLOWED, Kind.TIMEOUT, (999, 2999), Failure(Stage.CONNECT, Kind.TIMEOUT)),
        (replace(OLD, asked=ms(1020)), Kind.CLOSED, (1020, 1021), Failure(Stage.SEND, Kind.CLOSED)),
    ],
)
def test_what_the_doorway_made_it_look_like_is_put_right(
    passage: Passage, kind: Kind, span: tuple[int, int], failure: Failure
) -> None:
    found = told(lost(*span, kind), passage)
    assert found.routed_to == passage.pod
    assert found.failure is not None
    assert replace(found.failure, detail="") == failure
    if passage.end is End.REJECTED:
        assert found.failure.detail == NO_ENDPOINT
    if failure.stage is Stage.SEND:
        assert found.failure.detail == CLOSED_BEFORE


@pytest.mark.parametrize(
    ("exchange", "passage"),
    [
        (lost(1100, 1110), CUT),  # it asked before
        (lost(999, 1200), CUT),  # cut, and noticed too late to be this
        (lost(999, 1011), replace(CUT, answered=ms(1005))),  # it was answered
        (lost(999, 1002, Kind.TIMEOUT), REFUSED),
        (lost(999, 2999, Kind.TIMEOUT), replace(SWALLOWED, ended=ms(3500))),  # given up by somebody else
        (lost(500, 2999, Kind.TIMEOUT), SWALLOWED),  # it came half a second after this began
        (replace(lost(999, 1011), status=503), CUT),
        (replace(lost(999, 1011), served_by="c"), CUT),
        (replace(lost(999, 1011), failure=Failure(Stage.VALIDATE, Kind.BAD_BODY)), CUT),
    ],
)
def test_where_the_times_do_not_fit_nobody_is_named(exchange: Exchange, passage: Passage) -> None:
    found = told(exchange, passage)
    assert found.routed_to == ""
    assert found.failure == exchange.failure
