"""One imported request, and what words of other tools mean.

Law: a failure's kind comes from the tool's own words by one ordered table, the first match wins; an HTTP status decides
only where there are no such words.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from errno import ECONNREFUSED, ECONNRESET

from lameduck.core.exchange import Exchange, Failure, Kind, Lane, Stage
from lameduck.core.instants import MILLISECOND

MOST_DETAIL = 120


@dataclass(frozen=True, slots=True)
class Imported:
    """The exchanges of a file (wall-clock ns), and what such a file cannot say.

    The last four are `lameduck.core.foreign.Foreign`'s.
    """

    exchanges: Sequence[Exchange]
    losses: Sequence[str]
    precision: int = MILLISECOND
    client_view: bool = True
    hides_retries: str = ""
    masked: int = 0


NO_CONNECTIONS = (
    "no connection numbers: kept-alive and new connections cannot be told apart but where connecting failed"
)
ONLY_STARTS = "no intended starts: response times run from the actual start, so a stalled load generator hides its wait"
CLOSED_LOOP = "a closed loop: a slow answer holds back the requests behind it, so an outage is asked less than it lasts"
HIDDEN_RETRIES = (
    "hidden retries: Go's client repeats an idempotent request whose kept-alive connection was dead, so resets and "
    "closed connections are under-counted"
)
GO_REPEATS = "Go's client repeats a request whose kept-alive connection was dead, and does not say so"

_WORDS: tuple[tuple[str, Stage, Kind, int], ...] = (
    (r"no such host|UnknownHost|lookup .* on |Name or service not known", Stage.RESOLVE, Kind.UNREACHABLE, 0),
    (r"too many open files|assign requested address|no buffer space", Stage.CONNECT, Kind.NOT_SENT, 0),
    (r"connection refused|refused", Stage.CONNECT, Kind.REFUSED, ECONNREFUSED),
    (r"no route to host|network is unreachable|NoRouteToHost", Stage.CONNECT, Kind.UNREACHABLE, 0),
    (r"dial.*(timeout|timed out)|connect(ion)? timed? ?out|ConnectTimeout", Stage.CONNECT, Kind.TIMEOUT, 0),
    (r"tls|x509|handshake|SSL", Stage.TLS, Kind.PROTOCOL, 0),
    (r"goaway", Stage.AWAIT, Kind.GOAWAY, 0),
    (r"premature end|unexpected EOF|truncated|MalformedChunk", Stage.READ, Kind.TRUNCATED, 0),
    (r"reading body.*(timeout|deadline|timed out)|while reading body", Stage.READ, Kind.TIMEOUT, 0),
    (r"reset by peer|connection reset|broken pipe", Stage.AWAIT, Kind.RESET, ECONNRESET),
    (r"failed to respond|NoHttpResponse|server closed|\bEOF\b|connection closed", Stage.AWAIT, Kind.CLOSED, 0),
    (r"timeout|timed out|deadline exceeded", Stage.AWAIT, Kind.TIMEOUT, 0),
)  # fmt: skip
_TABLE = tuple((re.compile(words, re.IGNORECASE), stage, kind, errno) for words, stage, kind, errno in _WORDS)


def failure_of(words: str, status: int) -> Failure | None:
    """What a tool's words (and the status, 0 for none) say of a request; None of one that was answered well."""
    if words:
        detail = words[:MOST_DETAIL]
        for pattern, stage, kind, errno in _TABLE:
            if pattern.search(words):
                return Failure(stage, kind, errno, detail)
        if not status:
            return Failure(Stage.AWAIT, Kind.PROTOCOL, 0, detail)
    if status and not 200 <= status < 400:
        return Failure(Stage.VALIDATE, Kind.BAD_STATUS, 0, f"status {status}")
    if not status:
        return Failure(Stage.AWAIT, Kind.PROTOCOL, 0, "no status and no reason")
    return Failure(Stage.VALIDATE, Kind.BAD_BODY, 0, words[:MOST_DETAIL]) if words else None


def entry(
    start: int,
    end: int,
    status: int,
    failure: Failure | None,
    *,
    connected: int | None = None,
    first_byte: int | None = None,
    size: int = 0,
    peer: str = "",
    served_by: str = "",
    lane: Lane = Lane.UNKNOWN,
) -> Exchange:
    """One request (wall-clock ns), on a new connection where it connected or could not; else on ``lane``."""
    reached = failure is None or failure.stage not in {Stage.RESOLVE, Stage.CONNECT}
    new = connected is not None or (failure is not None and failure.stage in {Stage.RESOLVE, Stage.CONNECT, Stage.TLS})
    return Exchange(
        seq=0,
        lane=Lane.NEW if new else lane,
        intended_start=start,
        actual_start=start,
        connected=(connected or start) if reached else None,
        sent=None,
        first_byte=first_byte if reached else None,
        finished=max(end, start),
        nth_on_connection=1 if new else 0,
        status=status,
        size=min(max(size, 0), 2**32 - 1),
        peer=peer,
        served_by=served_by,
        failure=failure,
    )
