"""The lines of the report card that HTTP/2 and gRPC have alone: GOAWAY, streams that race with it, health.

A GOAWAY names the last stream that the server has begun or may begin. In two steps (RFC 9113, 6.8: first 2³¹ − 1, the
real one a round trip later) no stream that is on the way is lost; in one step those are dropped, which a client may
send again by itself, since they were not begun. Without one a client cannot tell the two apart.

Law: as in `scoring`.
"""

from __future__ import annotations

from lameduck.core.instants import human
from lameduck.core.shutdown import AGAIN, HARMLESS, NO_LAST_STREAM, Goaway, Observed, Protocol, Question
from lameduck.defects.scorewords import WORDS, Line, Mark, line_of, unknown_of, words_of

HEALTH = "health service"
"""As `not_asked` names it."""


def lines_of(seen: Observed) -> list[Line]:
    """Those that fit the protocol."""
    if seen.protocol is Protocol.HTTP_1:
        return []
    return [_goaway(seen), _late(seen), *([_health(seen)] if seen.protocol is Protocol.GRPC else [])]


def steps(goaways: tuple[Goaway, ...]) -> str:
    """``after 2 ms: last stream 2³¹ − 1, after 9 ms: last stream 1``."""
    said = (
        f"after {human(x.after)}: last stream {'2³¹ − 1' if x.last_stream == NO_LAST_STREAM else x.last_stream}"
        + (f", error {x.code}" if x.code else "")
        for x in goaways
    )
    return ", ".join(dict.fromkeys(said))


def _goaway(seen: Observed) -> Line:
    name = "GOAWAY"
    if seen.idle is None and not seen.runs.get(Question.IN_FLIGHT):
        return Line(name, Mark.UNKNOWN, "could not be asked")
    idle, busy = seen.idle.goaways if seen.idle else (), seen.busy_goaways
    announced = seen.lost is not None and seen.lost.announced
    if not idle and not busy and not announced:
        why = "clients cannot tell which streams were begun, so that they may not send them again"
        return Line(name, Mark.WARN, "never said", why, WORDS[seen.protocol].layer, "LD906")
    if seen.idle is not None and not idle:
        text = f"not on an idle connection; beside a stream in flight {steps(busy)}" if busy else "on busy ones only"
        why = "a stream that is on the way as an idle connection closes cannot be sent again safely"
        return Line(name, Mark.WARN, text, why, WORDS[seen.protocol].layer, "LD906")
    goaways = idle or busy
    if goaways and goaways[0].last_stream != NO_LAST_STREAM:
        why = "streams that are on the way are dropped: only a client that sends them again loses nothing"
        todo = "retries of what was not begun, at the client or its proxy"
        return Line(name, Mark.WARN, f"in one step ({steps(goaways)})", why, todo, "LD906")
    shape = "in two steps" if len(goaways) > 1 else "the first of two steps"
    return Line(name, Mark.GOOD, f"{shape} ({steps(goaways)})" if goaways else "said")


def _late(seen: Observed) -> Line:
    question = Question.LATE
    if not seen.keep_alive:
        return Line(question.value, Mark.GOOD, "there are none")
    if (unknown := unknown_of(seen, question)) is not None:
        return unknown
    letters = seen.letters(question) + seen.letters(Question.LATE_BUSY)
    if any(x not in HARMLESS for x in letters):
        why = "a client that has not read the GOAWAY yet loses its request, and may not send it again"
        return line_of(seen, question, Mark.BAD, words_of(letters), why, WORDS[seen.protocol].layer, "LD906")
    if any(x in AGAIN for x in letters):
        why = "a client that does not send them again by itself loses them"
        todo = "retries of what was not begun, at the client or its proxy"
        return line_of(seen, question, Mark.WARN, words_of(letters), why, todo, "LD906")
    return line_of(seen, question, Mark.GOOD, "answered, or the end was there to be seen")


def _health(seen: Observed) -> Line:
    if seen.health is None:
        why = seen.not_asked.get(HEALTH, "could not be asked")
        if why != "it has none":
            return Line(HEALTH, Mark.UNKNOWN, why)
        return Line(HEALTH, Mark.WARN, why, "nobody who asks learns that it leaves", WORDS[seen.protocol].layer)
    said = next((x for x in seen.health if x.status == "NOT_SERVING"), None)
    if said is not None:
        return Line(HEALTH, Mark.GOOD, f"NOT_SERVING after {human(said.after)}")
    text = ", ".join(f"{x.status} after {human(x.after)}" for x in seen.health) or "no change"
    why = "clients and balancers that watch it learn of the end only by losing it"
    return Line(HEALTH, Mark.WARN, f"never NOT_SERVING: {text}", why, WORDS[seen.protocol].layer)
