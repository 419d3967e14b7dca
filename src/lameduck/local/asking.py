"""A question over the pod's network: a readiness probe or an httpGet hook, without ever waiting in place.

Laws (kubelet ``probe/http``, ``probe/tcp``, ``probe/grpc``, ``lifecycle/handlers.go``): a TCP probe succeeds when the
connection does; an HTTP probe when the status is 200 to 399, read to the end of the answer; over HTTPS no certificate
is verified; a gRPC probe when the health service says SERVING; an httpGet hook whenever there is an answer at all, 404
included, and has no time-out but the grace period.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import ssl
import time
from collections.abc import Sequence
from typing import NamedTuple

from lameduck.local import health

_ENOUGH = 10 << 10
"""The kubelet reads no more of a probe's answer."""


class Question(NamedTuple):
    """Where to ask, and how: no path for a plain TCP connect, no time-out (0) for a hook."""

    name: str
    address: str
    port: int
    path: str = ""
    timeout: int = 0
    agent: str = "kube-probe/1.34"
    any_status: bool = False
    headers: Sequence[tuple[str, str]] = ()
    scheme: str = ""
    """``https``; ``grpc`` asks the health service about `path`; else plain HTTP."""


class Asking:
    """A question under way. `poll` it when its socket is ready or its `deadline` (ns, 0 for none) has passed."""

    def __init__(self, question: Question) -> None:
        self.question = question
        self.deadline = time.monotonic_ns() + question.timeout if question.timeout else 0
        self.events = select.POLLOUT
        self.socket = socket.socket()
        self.socket.setblocking(False)
        self._answer = b""
        self._shaking = question.scheme == "https"
        self._not_yet: tuple[type[OSError], ...] = (BlockingIOError,)
        self._refused = self.socket.connect_ex((question.address, question.port))

    def poll(self) -> tuple[bool, str] | None:
        """(ok, why not) once it is decided, else None."""
        try:
            return self._advance()
        except self._not_yet:
            if self.deadline and time.monotonic_ns() >= self.deadline:
                return False, f"{self._what()}: no answer within {self.question.timeout / 1e9:g} s"
            return None
        except OSError as error:
            reason = getattr(error, "reason", "") or os.strerror(error.errno or 0)  # TLS has numbers of its own
            return False, f"{self._what()}: {reason.replace('_', ' ').lower()}"

    def close(self) -> None:
        """Give its socket back."""
        self.socket.close()

    def _what(self) -> str:
        asked = self.question
        if asked.scheme == "grpc":
            return f"the gRPC health check{f' of {asked.path}' if asked.path else ''} on port {asked.port}"
        return f"GET {asked.path} on port {asked.port}" if asked.path else f"connecting to port {asked.port}"

    def _advance(self) -> tuple[bool, str] | None:
        if self.events == select.POLLOUT:
            if self._refused not in {0, errno.EINPROGRESS}:
                raise OSError(self._refused, "")
            if not self._connected():
                raise BlockingIOError
            if not self.question.path and not self.question.scheme:
                return True, ""
            self.events = select.POLLIN
            if self._shaking:
                self._encrypt()
            else:
                self.socket.send(self._request())
        if self._shaking:
            self.socket.do_handshake()  # type: ignore[attr-defined]
            self._shaking = False
            self.socket.send(self._request())
        while True:
            data = self.socket.recv(1 << 16)
            self._answer += data
            if self.question.scheme == "grpc":
                said = health.judged(self._answer, closed=not data or len(self._answer) > _ENOUGH)
                if said is not None:
                    return said[0], said[1] and f"{self._what()}: {said[1]}"
            elif not data or len(self._answer) > _ENOUGH or self._complete():
                return self._judge()

    def _encrypt(self) -> None:
        """TLS on the connected socket, its handshake not begun."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        self._not_yet = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
        self.socket = context.wrap_socket(self.socket, do_handshake_on_connect=False)

    def _connected(self) -> bool:
        failure = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if failure:
            raise OSError(failure, "")
        try:
            self.socket.getpeername()
        except OSError:
            return False
        return True

    def _request(self) -> bytes:
        asked = self.question
        if asked.scheme == "grpc":
            return health.request(f"{asked.address}:{asked.port}", asked.path, asked.agent)
        own = {"Host": f"{asked.address}:{asked.port}", "User-Agent": asked.agent, "Accept": "*/*"}
        headers = {**own, **dict(asked.headers), "Connection": "close"}
        lines = [f"GET {asked.path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
        return "\r\n".join(lines).encode()

    def _complete(self) -> bool:
        """Whether the answer is known to be whole; for a hook its first line is enough."""
        head, end, body = self._answer.partition(b"\r\n\r\n")
        if self.question.any_status or not end:
            return self.question.any_status and b"\r\n" in self._answer
        for line in head.split(b"\r\n")[1:]:
            name, _, value = line.partition(b":")
            if name.strip().lower() == b"content-length" and value.strip().isdigit():
                return len(body) >= int(value)
        return False

    def _judge(self) -> tuple[bool, str]:
        words = self._answer.split(b"\r\n", 1)[0].split(None, 2)
        if len(words) < 2 or not words[0].startswith(b"HTTP/") or not words[1].isdigit():
            return False, f"{self._what()}: closed without an HTTP answer"
        if self.question.any_status or 200 <= int(words[1]) < 400:
            return True, ""
        return False, f"{self._what()}: answered {int(words[1])}"
