"""One raw HTTP/1.1 client connection, and what became of a request on it, as a letter.

Law: it never retries, and it closes its side as soon as the server has announced the end, as good clients do (RFC 9112,
9.6).
"""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress

from lameduck.core.shutdown import Goaway, Letter
from lameduck.score.request import Request

HOST = "127.0.0.1"
CONNECT = 2.0


class Strange(Exception):
    """What came is no HTTP/1."""


class Client:
    """One connection; `ask` gives letters."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.socket: socket.socket | None = None
        self.rest = b""
        self.held = b""
        self.goaways: list[Goaway] = []
        """Never any: HTTP/2's."""
        self.why = ""
        """What was wrong with what the server said."""

    async def connect(self) -> Letter | None:
        """None when connected."""
        sock = socket.socket()
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            async with asyncio.timeout(CONNECT):
                await asyncio.get_running_loop().sock_connect(sock, (HOST, self.port))
        except TimeoutError:
            sock.close()
            return Letter.SILENT
        except OSError as error:
            sock.close()
            return Letter.REFUSED if isinstance(error, ConnectionRefusedError) else Letter.RESET
        self.socket = sock
        return None

    def gone(self) -> bool:
        """Whether the end of the connection can be seen without sending."""
        if self.socket is None:
            return True
        try:
            return self.socket.recv(1, socket.MSG_PEEK) == b""
        except BlockingIOError:
            return False
        except OSError:
            return True

    async def send(self, request: Request, *, whole: bool = True) -> Letter | None:
        """The request, or all but its last four bytes; None when sent."""
        data = encoded(request)
        if not whole:
            data, self.held = data[:-4], data[-4:]
        return await self._send(data)

    async def finish(self, seconds: float) -> Letter:
        """Send what `send` held back, and wait for the answer."""
        if self.gone():
            return Letter.SEEN
        failed = await self._send(self.held)
        return failed or await self.answer(seconds)

    async def _send(self, data: bytes) -> Letter | None:
        assert self.socket is not None
        try:
            await asyncio.get_running_loop().sock_sendall(self.socket, data)
        except OSError:
            return Letter.RESET
        return None

    async def answer(self, seconds: float) -> Letter:
        """What comes back within so many seconds."""
        try:
            async with asyncio.timeout(seconds):
                return await self._answer()
        except Strange:
            self.why = "it does not speak HTTP/1.1 here: try --http h2c, --http h2 or --grpc"
            return Letter.OTHER
        except TimeoutError:
            return Letter.SILENT
        except ConnectionError:
            return Letter.CUT if self.rest else Letter.RESET
        except EOFError:
            return Letter.CUT if self.rest else Letter.CLOSED

    async def ask(self, request: Request, seconds: float = 4.0, look: bool = True) -> Letter:
        """Send a whole request and wait for its answer."""
        if self.socket is None:
            return Letter.NO_KEEP_ALIVE
        if look and self.gone():
            self.close()
            return Letter.SEEN
        failed = await self.send(request)
        return failed or await self.answer(seconds)

    async def until_closed(self, seconds: float) -> str:
        """How the server ends it, nothing being sent: "fin", "reset", or "open"."""
        assert self.socket is not None
        try:
            async with asyncio.timeout(seconds):
                await asyncio.get_running_loop().sock_recv(self.socket, 4096)
        except TimeoutError:
            return "open"
        except OSError:
            return "reset"
        self.close()
        return "fin"

    def close(self) -> None:
        """Close this side."""
        if self.socket is not None:
            with suppress(OSError):
                self.socket.close()
            self.socket = None

    async def _more(self) -> None:
        assert self.socket is not None
        data = await asyncio.get_running_loop().sock_recv(self.socket, 65536)
        if not data:
            raise EOFError
        self.rest += data
        if not self.rest.startswith(b"HTTP/1."[: len(self.rest)]):
            raise Strange

    async def _answer(self) -> Letter:
        while b"\r\n\r\n" not in self.rest:
            await self._more()
        head = self.rest.partition(b"\r\n\r\n")[0]
        first, *lines = head.decode("latin-1").split("\r\n")
        fields = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        status = first.split()[1]
        ended = False if status in ("204", "304") else await self._body(len(head) + 4, fields)
        last = ended or fields.get("connection", "").lower() == "close" or first.startswith("HTTP/1.0")
        self.rest = b""
        if last:
            self.close()
        if status[0] not in "23":
            self.why = f"its answer is {status}"
            return Letter.UNAVAILABLE if status[0] == "5" else Letter.OTHER
        return Letter.LAST if last else Letter.ANSWERED

    async def _body(self, start: int, fields: dict[str, str]) -> bool:
        """Read it; whether only the end of the connection ends it."""
        if fields.get("transfer-encoding", "").lower() == "chunked":
            while not self.rest.endswith(b"0\r\n\r\n"):
                await self._more()
            return False
        if "content-length" in fields:
            while len(self.rest) - start < int(fields["content-length"]):
                await self._more()
            return False
        with suppress(EOFError):
            while True:
                await self._more()
        return True


def encoded(request: Request) -> bytes:
    """Its bytes in HTTP/1.1."""
    fields = [("Host", "localhost"), ("User-Agent", "lameduck-score"), *request.headers]
    if request.body:
        fields.append(("Content-Length", str(len(request.body))))
    lines = [f"{request.method} {request.path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields)]
    return "\r\n".join([*lines, "", ""]).encode() + request.body
