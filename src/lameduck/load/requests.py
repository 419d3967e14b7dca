"""Requests as bytes, made once before the first is sent.

Law: what is sent is exactly what the plan says, plus Host, User-Agent, Accept and the framing of a body, each only
where the plan does not say it itself. A value with a line break in it would be two headers: it is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lameduck import __version__
from lameduck.core.errors import UsageError
from lameduck.core.exchange import Failure, Lane
from lameduck.core.plan import RequestShape
from lameduck.load import expectations, failures

_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})
"""Methods whose request says Content-Length: 0 when it has no body (RFC 9110, section 8.6)."""


@dataclass(frozen=True, slots=True)
class Request:
    """One shape on one lane, ready to send."""

    lane: Lane
    wire: bytes
    head: bool
    """The answer has no body whatever its headers say (HEAD)."""
    one_shot: bool
    """The connection is not used again after it."""
    statuses: bytes
    check: expectations.Check | None

    def judge(self, status: int, body: bytes | bytearray) -> Failure | None:
        """What is wrong with a whole answer, if anything."""
        if not (status < len(self.statuses) and self.statuses[status]):
            return failures.of_status(status)
        wrong = self.check(body) if self.check is not None else ""
        return failures.of_body(wrong) if wrong else None


def prepare(shape: RequestShape, lane: Lane, host: str, secrets: Mapping[str, str]) -> Request:
    """A request's bytes and expectations; `UsageError` for what cannot be sent as HTTP."""
    return Request(
        lane=lane,
        wire=_wire(shape, lane, host, secrets),
        head=shape.method == "HEAD",
        one_shot=lane is Lane.NEW,
        statuses=expectations.statuses(shape.expect_status),
        check=expectations.check(shape.expect_body),
    )


def _wire(shape: RequestShape, lane: Lane, host: str, secrets: Mapping[str, str]) -> bytes:
    given = [*shape.headers, *((name, _secret(secrets, name, variable)) for name, variable in shape.secret_headers)]
    said = {name.lower() for name, _ in given}
    own = [("Host", host), ("User-Agent", f"lameduck/{__version__}"), ("Accept", "*/*")]
    if (shape.body or shape.method in _WITH_BODY) and "transfer-encoding" not in said:
        own.append(("Content-Length", str(len(shape.body))))
    if lane is Lane.NEW:
        own.append(("Connection", "close"))
    headers = [header for header in own if header[0].lower() not in said] + given
    for text in (shape.method, shape.path):
        if not text or any(character <= " " or character > "~" for character in text):
            raise UsageError(f"{text!r} cannot stand in a request line: percent-encode it")
    lines = [f"{shape.method} {shape.path} HTTP/1.1", *(_header(name, value) for name, value in headers)]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8") + shape.body


def _header(name: str, value: str) -> str:
    if not name or not name.isascii() or any(character in name for character in " \t\r\n:"):
        raise UsageError(f"{name!r} is not a header name")
    if any(character in value for character in "\r\n\0"):
        raise UsageError(f"the value of header {name} holds a line break")
    return f"{name}: {value}"


def _secret(secrets: Mapping[str, str], name: str, variable: str) -> str:
    try:
        return secrets[variable]
    except KeyError:
        raise UsageError(f"header {name} needs the environment variable {variable}, which is not set") from None
