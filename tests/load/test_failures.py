import errno
import ssl

import pytest

from lameduck.core.exchange import Kind, Stage
from lameduck.load import failures


@pytest.mark.parametrize(
    ("stage", "number", "kind"),
    [
        (Stage.CONNECT, errno.ECONNREFUSED, Kind.REFUSED),
        (Stage.CONNECT, errno.ETIMEDOUT, Kind.TIMEOUT),
        (Stage.CONNECT, errno.EHOSTUNREACH, Kind.UNREACHABLE),
        (Stage.CONNECT, errno.ENETUNREACH, Kind.UNREACHABLE),
        (Stage.CONNECT, errno.ECONNRESET, Kind.RESET),
        (Stage.CONNECT, errno.EMFILE, Kind.NOT_SENT),
        (Stage.CONNECT, errno.ENFILE, Kind.NOT_SENT),
        (Stage.CONNECT, errno.EADDRNOTAVAIL, Kind.NOT_SENT),
        (Stage.CONNECT, errno.ENOBUFS, Kind.NOT_SENT),
        (Stage.CONNECT, errno.ENOMEM, Kind.NOT_SENT),
        (Stage.CONNECT, errno.EPERM, Kind.NOT_SENT),
        (Stage.CONNECT, errno.EPROTO, Kind.UNREACHABLE),
        (Stage.SEND, errno.EPIPE, Kind.RESET),
        (Stage.SEND, errno.ECONNRESET, Kind.RESET),
        (Stage.SEND, errno.ENOBUFS, Kind.NOT_SENT),
        (Stage.TLS, errno.ECONNRESET, Kind.RESET),
        (Stage.AWAIT, errno.ECONNRESET, Kind.RESET),
        (Stage.AWAIT, errno.ETIMEDOUT, Kind.TIMEOUT),
        (Stage.AWAIT, errno.EHOSTUNREACH, Kind.UNREACHABLE),
        (Stage.AWAIT, errno.ENOBUFS, Kind.RESET),
        (Stage.READ, errno.ECONNRESET, Kind.TRUNCATED),
        (Stage.READ, errno.ETIMEDOUT, Kind.TRUNCATED),
    ],
)
def test_every_errno_has_its_kind_at_its_stage(stage: Stage, number: int, kind: Kind) -> None:
    failure = failures.of_errno(stage, number)
    assert (failure.stage, failure.kind, failure.errno) == (stage, kind, number)
    assert failure.detail


@pytest.mark.parametrize(
    ("stage", "kind"),
    [(Stage.TLS, Kind.CLOSED), (Stage.SEND, Kind.CLOSED), (Stage.AWAIT, Kind.CLOSED), (Stage.READ, Kind.TRUNCATED)],
)
def test_an_end_in_good_order_is_closed_before_the_first_byte_and_truncated_after_it(stage: Stage, kind: Kind) -> None:
    assert failures.of_end(stage).kind is kind
    assert failures.of_tls(stage, ssl.SSLEOFError()).kind is kind


def test_what_was_the_engines_own_is_not_sent() -> None:
    assert failures.OVERDUE.kind is failures.STOPPED.kind is Kind.NOT_SENT
