"""What the kernel, TLS and the parser say, as a `Failure`: one table per source.

Law: the stage is where the exchange stood, the kind is what the client saw; what this machine could not do (no
descriptor, no port, no memory, not allowed) is NOT_SENT and never the target's. A connection that ends after the first
byte of an answer is TRUNCATED however it ended; before that, FIN is CLOSED and RST is RESET.
"""

from __future__ import annotations

import errno
import os
import ssl

from lameduck.core.exchange import Failure, Kind, Stage

_KINDS = {
    errno.ECONNREFUSED: Kind.REFUSED,
    errno.ECONNRESET: Kind.RESET,
    errno.ECONNABORTED: Kind.RESET,
    errno.EPIPE: Kind.RESET,
    errno.ETIMEDOUT: Kind.TIMEOUT,
    errno.EHOSTUNREACH: Kind.UNREACHABLE,
    errno.ENETUNREACH: Kind.UNREACHABLE,
    errno.EHOSTDOWN: Kind.UNREACHABLE,
    errno.ENETDOWN: Kind.UNREACHABLE,
    errno.EMFILE: Kind.NOT_SENT,
    errno.ENFILE: Kind.NOT_SENT,
    errno.EADDRNOTAVAIL: Kind.NOT_SENT,
    errno.EADDRINUSE: Kind.NOT_SENT,
    errno.EAGAIN: Kind.NOT_SENT,  # connect(2): no free local port, for some socket families
    errno.ENOBUFS: Kind.NOT_SENT,
    errno.ENOMEM: Kind.NOT_SENT,
    errno.EACCES: Kind.NOT_SENT,  # a rule on this machine forbids it
    errno.EPERM: Kind.NOT_SENT,
}

NO_ENDPOINT = Failure(Stage.CONNECT, Kind.REFUSED, errno.ECONNREFUSED, "no usable endpoint")
"""The dialer had nowhere to go: kube-proxy rejects such a connection, and no pod is to blame."""

OVERDUE = Failure(Stage.CONNECT, Kind.NOT_SENT, 0, "the engine was too late to send it")
"""The request was due so long ago that sending it now would be another load than the one asked for."""

STOPPED = Failure(Stage.AWAIT, Kind.NOT_SENT, 0, "the run was stopped before its end")
"""Cut by our own end, not by the target."""


def of_errno(stage: Stage, number: int) -> Failure:
    """The failure that an errno means at a stage."""
    if stage is Stage.READ:
        return Failure(stage, Kind.TRUNCATED, number, os.strerror(number))
    kind = _KINDS.get(number, Kind.UNREACHABLE if stage is Stage.CONNECT else Kind.RESET)
    if kind is Kind.NOT_SENT and stage in {Stage.AWAIT, Stage.TLS}:
        kind = Kind.RESET  # it had been sent; whatever ended it, it was not our limit on sending
    return Failure(stage, kind, number, os.strerror(number))


def of_end(stage: Stage) -> Failure:
    """The peer ended the connection in good order (FIN) before the answer was whole."""
    if stage is Stage.READ:
        return Failure(stage, Kind.TRUNCATED, 0, "the connection ended within the answer")
    return Failure(stage, Kind.CLOSED, 0, "the connection was closed")


def of_tls(stage: Stage, error: ssl.SSLError) -> Failure:
    """TLS's own word. A cut without close_notify is an end of the connection; anything else breaks the protocol."""
    if isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return of_end(stage)
    if isinstance(error, ssl.SSLCertVerificationError):
        return Failure(stage, Kind.PROTOCOL, 0, f"certificate refused: {error.verify_message}")
    return Failure(stage, Kind.PROTOCOL, 0, (error.reason or str(error)).replace("_", " ").lower())


def of_timeout(stage: Stage) -> Failure:
    """Our own clock ran out."""
    return Failure(stage, Kind.TIMEOUT, 0, "")


def of_protocol(error: Exception) -> Failure:
    """What came is not HTTP/1.1."""
    return Failure(Stage.READ, Kind.PROTOCOL, 0, str(error))


def of_status(status: int) -> Failure:
    """The answer is whole and its status is not an expected one."""
    return Failure(Stage.VALIDATE, Kind.BAD_STATUS, 0, f"answered {status}")


def of_body(detail: str) -> Failure:
    """The answer is whole, its status right, its body not as expected."""
    return Failure(Stage.VALIDATE, Kind.BAD_BODY, 0, detail)
