"""One request and what became of it, kept also when it failed.

Law: every planned request is exactly one exchange; there is no retry, so a failure is never hidden and never counted
twice. Response time runs from the *intended* start, so that a stall of the server cannot hide behind late sends;
``start_delay`` (actual − intended) is ours, never the server's. A time that never came is ``None``.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

AT_ONCE = 5_000_000
"""ns: a request on a connection that is dead already fails within this, the rounding of other tools included."""


class Lane(StrEnum):
    """How a request gets its connection: one of its own, or a kept-alive one. Two lanes are two different claims."""

    NEW = "new"
    REUSE = "reuse"
    UNKNOWN = "unknown"
    """An imported request whose connection nobody told of; never planned."""


class Stage(StrEnum):
    """How far an exchange had come when it failed."""

    RESOLVE = "resolve"
    CONNECT = "connect"
    TLS = "tls"
    SEND = "send"
    AWAIT = "await"
    """The request is sent, no byte of the answer has come."""
    READ = "read"
    VALIDATE = "validate"
    """The answer is whole, and not what was expected."""


class Kind(StrEnum):
    """What the failure looked like from the client."""

    REFUSED = "refused"
    RESET = "reset"
    CLOSED = "closed"
    """The peer ended the connection in good order (FIN) before the first byte of an answer."""
    TIMEOUT = "timeout"
    UNREACHABLE = "unreachable"
    PROTOCOL = "protocol"
    BAD_STATUS = "bad_status"
    TRUNCATED = "truncated"
    """The connection ended after the first byte of the answer and before its last."""
    BAD_BODY = "bad_body"
    GOAWAY = "goaway"
    NOT_SENT = "not_sent"
    """Our own limit: never booked on the target."""


@dataclass(frozen=True, slots=True)
class Behind:
    """What a hop between client and pod met when it passed the request on, by the hop's own word or `inferred`."""

    stage: Stage
    kind: Kind
    reused: bool = False
    """The hop had used its connection to the pod before."""
    idle: int = 0
    """For how long nothing had been on that connection (ns, to the millisecond); 0 for a new one."""
    after: int = 0
    """How long after the exchange's start the hop began a second try (ns, to the millisecond); 0 for the first."""
    detail: str = ""
    inferred: bool = False
    """The hop said nothing: this is what it must have met."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an exchange failed, as data.

    ``errno`` is 0 where the kernel named none; ``detail`` is a short text for people, without any header or body.
    ``behind`` is there only where a hop said what it met.
    """

    stage: Stage
    kind: Kind
    errno: int = 0
    detail: str = ""
    behind: Behind | None = None


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request: its times (instants in nanoseconds), its connection, its answer.

    ``connection`` numbers the connections of a run from 1 (0: none was made); ``nth_on_connection`` is 1 for the first
    request on it. ``idle`` is how long the connection had been idle before this request (ns, 0 for a first one).
    ``served_by`` is what the answer's header said, ``routed_to`` the pod that the dialer chose (both "" if unknown).
    """

    seq: int
    lane: Lane
    intended_start: int
    actual_start: int | None
    connected: int | None
    sent: int | None
    first_byte: int | None
    finished: int | None
    connection: int = 0
    nth_on_connection: int = 0
    idle: int = 0
    local_port: int = 0
    peer: str = ""
    status: int = 0
    size: int = 0
    """Bytes of the answer's body."""
    close_announced: bool = False
    """The answer said ``Connection: close`` although the request did not ask for it."""
    served_by: str = ""
    routed_to: str = ""
    failure: Failure | None = None

    @property
    def ambiguous(self) -> bool:
        """Whether it failed at once on an unknown connection (imported): cut just then, or dead before."""
        lasted = (self.finished or self.intended_start) - self.intended_start
        return not self.nth_on_connection and self.lane is Lane.UNKNOWN and lasted < AT_ONCE

    @property
    def response_time(self) -> int | None:
        """Finished − intended start, in nanoseconds: what a user of the service waited."""
        return None if self.finished is None else self.finished - self.intended_start

    @property
    def service_time(self) -> int | None:
        """Finished − actual start, in nanoseconds."""
        return None if self.finished is None or self.actual_start is None else self.finished - self.actual_start

    @property
    def start_delay(self) -> int | None:
        """Actual − intended start, in nanoseconds: ours, never the server's."""
        return None if self.actual_start is None else self.actual_start - self.intended_start
