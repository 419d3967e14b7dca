"""The grade and the smallest safe set, from what was seen alone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lameduck.core.instants import MILLISECOND, SECOND
from lameduck.core.shutdown import NO_LAST_STREAM, Exit, Goaway, Health, IdleClose, Lost, Observed, Protocol, Question
from lameduck.defects import codes
from lameduck.defects.scorewords import Mark
from lameduck.defects.scoring import Card, card

Q = Question
HTTP_1 = [q for q in Q if q not in {Q.LATE, Q.LATE_BUSY}]
PERFECT = Observed(
    command=("server",),
    signal="SIGTERM",
    keep_alive=True,
    runs={q: ("C" * n,) for q, n in zip(HTTP_1, (1, 6, 5, 5, 5, 5, 2, 5, 1), strict=True)},
    bare=(Exit(0, 50 * MILLISECOND),),
    busy=(Exit(0, 800 * MILLISECOND),),
    idle=IdleClose("fin", 3 * SECOND, Exit(0, 3 * SECOND)),
    pid_1=Exit(0, 50 * MILLISECOND),
    lost=Lost(39, 0, 158, 0, announced=True),
    not_asked={},
)


def but(lost: Lost | None = None, **runs: str) -> Observed:
    said = {Q[name]: tuple(text.split("/")) for name, text in runs.items()}
    return replace(PERFECT, runs={**PERFECT.runs, **said}, lost=lost or PERFECT.lost)


REFUSING = Lost(39, 38, 158, 153, announced=True)


@pytest.mark.parametrize(
    ("seen", "grade", "needed"),
    [
        (PERFECT, "A", ""),
        (but(REFUSING, NEW="++xxx", IDLE="+++ff", IDLE_BUSY="++fff"), "B", "preStop ≥ 3 s"),
        (
            but(REFUSING, NEW="+xxxx", IDLE="++fff", IDLE_BUSY="++EEE"),
            "C",
            "the lame-duck layer, and without it preStop",
        ),
        (but(REFUSING, NEW="+xxxx", IDLE_BUSY="+5555"), "C", "the lame-duck layer, and without it preStop"),
        (but(REFUSING, NEW="+xxxx", IDLE="+ffff/+Rfff"), "C", "the lame-duck layer"),
        (but(REFUSING, IN_FLIGHT="E", NEW="Rxxxx"), "F", "no delay before the signal does"),
        (but(IN_FLIGHT="C/E"), "F", "the lame-duck layer"),
        (replace(PERFECT, pid_1=Exit(None, 6 * SECOND, 6 * SECOND), deaf=True), "F", "an init as PID 1"),
        (replace(PERFECT, busy=(Exit(None, 6 * SECOND, 6 * SECOND),)), "D", "a drain time-out"),
        (replace(PERFECT, bare=(Exit(0, 1, orphans=1),)), "D", "exec in the start script"),
        (replace(PERFECT, bare=(Exit(0, 1, orphans=1),), deaf=True), "F", "exec in the start script"),
        (replace(but(REFUSING, NEW="+xxxx"), busy=(Exit(0, 10 * SECOND),)), "D", "preStop + 10 s"),
        (replace(PERFECT, busy=(Exit(0, 10 * SECOND),)), "A", ""),
        (replace(PERFECT, busy=(Exit(0, 16 * SECOND),)), "D", "preStop + 16 s"),
        (but(Lost(39, 1, 158, 0, announced=True)), "B", "preStop ≥ 3 s"),
        (replace(PERFECT, lost=None), "B", "a grace period"),
        (but(Lost(39, 0, 158, 0, announced=False)), "B", "Connection: close after the signal"),
        (replace(but(Lost(39, 0, 158, 0, announced=False)), keep_alive=False), "A", ""),
    ],
)
def test_the_grade_and_what_is_needed(seen: Observed, grade: str, needed: str) -> None:
    judged = card(seen)
    assert judged.grade == grade
    assert needed in " · ".join(judged.safe_set)


def lines(judged: Card) -> dict[str, Mark]:
    return {line.question: line.mark for line in judged.lines}


def test_every_bad_line_has_a_code_of_the_catalogue_a_reason_and_something_to_do() -> None:
    worst = but(REFUSING, IN_FLIGHT="E", SIX_SLOW="EEEEEE", NEW="Rxxxx", IDLE="REfff", HALF="ff", QUEUE="RRRRR")
    bad = [line for line in card(worst).lines if line.mark is Mark.BAD]
    assert len(bad) >= 5
    for line in bad:
        assert line.code in codes()
        assert line.why
        assert line.todo


def test_runs_that_differ_are_marked_as_a_race_but_a_close_header_alone_is_none() -> None:
    judged = {line.question: line for line in card(but(QUEUE="+++++/RRRRR", HALF="++/CC")).lines}
    assert not judged["accept queue"].settled
    assert judged["silent, and half a request head"].settled


def test_where_no_connection_is_kept_nobody_is_told_to_look_or_to_leave() -> None:
    """busybox httpd: every answer ends its connection, said or not."""
    judged = card(replace(but(REFUSING, IN_FLIGHT="+", NEW="+xxxx"), keep_alive=False))
    assert lines(judged)[Question.IN_FLIGHT] is Mark.GOOD
    assert judged.safe_set[0] == "preStop ≥ 3 s, or the lame-duck layer"


def test_what_was_not_asked_is_never_good() -> None:
    blind = replace(PERFECT, runs={}, bare=(), busy=(), idle=None, pid_1=None, lost=None)
    assert set(lines(card(blind)).values()) == {Mark.UNKNOWN}
    assert card(blind).grade == "?"


GOODBYE = (Goaway(3 * SECOND, NO_LAST_STREAM), Goaway(3 * SECOND + 1, 1))
GRPC = replace(
    PERFECT,
    protocol=Protocol.GRPC,
    runs={q: ("+" * len(PERFECT.runs[q][0]) if q in PERFECT.runs else "+++++",) for q in Q},
    idle=IdleClose("fin", 3 * SECOND, Exit(0, 3 * SECOND), GOODBYE),
    lost=Lost(39, 0, 158, 0, announced=False),
    health=(Health("NOT_SERVING", MILLISECOND), Health("ended", 3 * SECOND)),
)


def streamed(**runs: str) -> Observed:
    said = {Q[name]: tuple(text.split("/")) for name, text in runs.items()}
    return replace(GRPC, runs={**GRPC.runs, **said})


ONE_STEP = replace(GRPC, idle=IdleClose("fin", 9, Exit(0, 9), (Goaway(5, 1),)))
MUTE = replace(GRPC, idle=IdleClose("fin", 3 * SECOND, Exit(0, 3 * SECOND)))


@pytest.mark.parametrize(
    ("seen", "grade", "needed"),
    [
        (GRPC, "A", ""),
        (streamed(LATE="+++GG", LATE_BUSY="SGGGG", IDLE="+Gfff"), "A", ""),  # never begun: clients send it again
        (streamed(NEW="+GGGG"), "B", "preStop ≥ 3 s"),  # but a new connection has no other
        (streamed(LATE="rffff"), "C", "the lame-duck layer"),  # grpcio's stop(): CANCELLED
        (streamed(LATE_BUSY="+EEEE"), "C", "the lame-duck layer"),
        (streamed(IDLE="55fff"), "C", "the lame-duck layer"),
        (streamed(IN_FLIGHT="r"), "F", "it waits for requests in flight"),
        (streamed(IN_FLIGHT="G"), "F", "it waits for requests in flight"),
        (MUTE, "B", "GOAWAY after the signal"),
        (replace(MUTE, busy_goaways=GOODBYE), "A", ""),
        (ONE_STEP, "A", ""),
    ],
)
def test_the_grade_over_http2_and_grpc(seen: Observed, grade: str, needed: str) -> None:
    judged = card(seen)
    assert judged.grade == grade
    assert needed in " · ".join(judged.safe_set)


def test_the_lines_of_http2_and_grpc() -> None:
    assert lines(card(GRPC))["GOAWAY"] is Mark.GOOD
    assert lines(card(ONE_STEP))["GOAWAY"] is Mark.WARN
    assert lines(card(MUTE))["GOAWAY"] is Mark.WARN
    assert lines(card(replace(MUTE, busy_goaways=GOODBYE)))["GOAWAY"] is Mark.WARN
    assert lines(card(GRPC))["health service"] is Mark.GOOD
    assert lines(card(replace(GRPC, health=(Health("ended", 5),))))["health service"] is Mark.WARN
    nobody = replace(GRPC, health=None, not_asked={"health service": "nobody could watch it"})
    assert lines(card(nobody))["health service"] is Mark.UNKNOWN
    assert "health service" not in lines(card(replace(GRPC, protocol=Protocol.HTTP_2)))
    assert "GOAWAY" not in lines(card(PERFECT))
    blind = replace(GRPC, runs={}, bare=(), busy=(), idle=None, pid_1=None, lost=None, health=None)
    assert set(lines(card(blind)).values()) == {Mark.UNKNOWN}
    for line in card(streamed(LATE="rffff", IDLE="EEfff")).lines:
        assert line.mark is not Mark.BAD or (line.code in codes() and line.why and line.todo)
