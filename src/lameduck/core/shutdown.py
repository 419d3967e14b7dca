"""What a server did when it was told to stop, as its clients saw it: questions asked on raw sockets, and answers.

Law: an answer is one letter for each request; a question that was asked several times keeps every run, so that a race
shows as runs that differ. Nothing here judges: `lameduck.defects.scoring` does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

OFFSETS_MS = (0, 5, 50, 200, 800)
"""When a request is sent after the signal, one each."""


class Letter(StrEnum):
    """What became of one request."""

    ANSWERED = "+"
    LAST = "C"
    """Answered with ``Connection: close``, or in HTTP/1.0; over HTTP/2, with a GOAWAY."""
    UNAVAILABLE = "5"
    """Answered, by a 5xx."""
    OTHER = "?"
    """Answered by another status than before the signal."""
    REFUSED = "x"
    RESET = "R"
    CLOSED = "E"
    """The connection ended without an answer."""
    CUT = "!"
    """It ended within the answer."""
    SILENT = "T"
    """No answer in time."""
    SEEN = "f"
    """The end of the connection was there to be seen before sending: harmless for a client that looks."""
    NO_KEEP_ALIVE = "-"
    UNPROCESSED = "G"
    """HTTP/2: above the last stream of a GOAWAY, so never begun: safe to send again elsewhere (RFC 9113, 6.8)."""
    REFUSED_STREAM = "S"
    """HTTP/2: reset with REFUSED_STREAM: as safe (RFC 9113, 8.7)."""
    STREAM_RESET = "r"
    """HTTP/2: reset with another code; gRPC: or CANCELLED."""


GOOD = frozenset({Letter.ANSWERED, Letter.LAST})
AGAIN = frozenset({Letter.UNPROCESSED, Letter.REFUSED_STREAM})
"""The server says that it did not begin: clients of HTTP/2 may send those again by themselves."""
HARMLESS = GOOD | AGAIN | {Letter.SEEN, Letter.NO_KEEP_ALIVE}


class Protocol(StrEnum):
    """What is spoken."""

    HTTP_1 = "HTTP/1.1"
    HTTP_2 = "HTTP/2"
    GRPC = "gRPC"


class Question(StrEnum):
    """What is asked; each with a server of its own, freshly started."""

    IN_FLIGHT = "in flight"
    SIX_SLOW = "six slow at once"
    NEW = "new connections"
    NEW_BUSY = "new connections while draining"
    IDLE = "idle connections used again"
    IDLE_BUSY = "idle connections used again while draining"
    HALF = "silent, and half a request head"
    QUEUE = "accept queue"
    LATE = "streams sent before the GOAWAY is read"
    LATE_BUSY = "the same beside a stream in flight"
    PID_1 = "as PID 1"


@dataclass(frozen=True, slots=True)
class Exit:
    """How it ended: exit code (negative: by that signal), None if it was still alive; ns after the signal."""

    code: int | None
    after: int
    waited: int = 0
    """For how long it was watched, where it did not end; ns."""
    orphans: int = 0
    """Processes that it left behind."""


@dataclass(frozen=True, slots=True)
class Goaway:
    """HTTP/2's word that a connection ends; `after` in ns, of the clock until it is told of a signal."""

    after: int
    last_stream: int
    """Higher streams were not begun; 2³¹ − 1 in the first of two steps."""
    code: int = 0


NO_LAST_STREAM = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Health:
    """What gRPC's health service said after the signal: "NOT_SERVING", "ended" with the connection; ns."""

    status: str
    after: int


@dataclass(frozen=True, slots=True)
class IdleClose:
    """What became of a kept-alive connection that nobody used: closed how ("fin", "reset", "open"), when; ns."""

    how: str
    after: int
    exit: Exit
    goaways: tuple[Goaway, ...] = ()


@dataclass(frozen=True, slots=True)
class Lost:
    """A load balancer that goes on for a second after the signal: requests sent and failed."""

    new_sent: int
    new_failed: int
    pooled_sent: int
    pooled_failed: int
    announced: bool
    """Whether answers after the signal said ``Connection: close``; over HTTP/2, whether a GOAWAY came."""


@dataclass(frozen=True, slots=True)
class Observed:
    """Everything that was seen of one server."""

    command: tuple[str, ...]
    signal: str
    keep_alive: bool
    runs: Mapping[Question, tuple[str, ...]]
    """Each question's runs, a letter for each request; a question that could not be asked is not there."""
    bare: tuple[Exit, ...]
    busy: tuple[Exit, ...]
    """How it ended with a slow request in flight, of 0.7 s left, whose client keeps the connection while it may."""
    idle: IdleClose | None
    pid_1: Exit | None
    lost: Lost | None
    not_asked: Mapping[str, str]
    """Question → why it was not asked."""
    deaf: bool = False
    """Whether it still served as PID 1 when it had been waited for."""
    seconds: float = 0.0
    protocol: Protocol = Protocol.HTTP_1
    busy_goaways: tuple[Goaway, ...] = ()
    """HTTP/2: on the connection of the request in flight."""
    health: tuple[Health, ...] | None = None
    """gRPC: what a client that watches was told after the signal; None if nobody could watch."""

    def letters(self, question: Question) -> str:
        """All letters of all runs."""
        return "".join(self.runs.get(question, ()))

    def settled(self, question: Question) -> bool:
        """Whether every run went the same way; with ``Connection: close`` or without is the same."""
        return len({run.replace(Letter.LAST, Letter.ANSWERED) for run in self.runs.get(question, ())}) <= 1
