"""One HTTP/2 client connection, in cleartext with prior knowledge (h2c) or in TLS with ALPN (h2), gRPC's too.

Law: as good clients do, it reads all the time and answers SETTINGS and PING at once, so that a GOAWAY in two steps gets
its second; it never retries, and it closes its side when the server has closed its own.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from contextlib import suppress

from lameduck.core.instants import SECOND
from lameduck.core.shutdown import Goaway, Letter
from lameduck.score.client import CONNECT, HOST
from lameduck.score.frames import NotHttp2Error, Session
from lameduck.score.request import Request

LEAVE = 2.0
"""Good clients close an idle connection that was told to go; here so late, in seconds: perhaps the server does."""


class Http2Client:
    """One connection; `ask` gives letters. `goaways` are dated by the monotonic clock, in nanoseconds."""

    def __init__(self, port: int, *, tls: bool = False, grpc: bool = False) -> None:
        self.port, self.tls = port, tls
        self.session = Session(f"localhost:{port}", "https" if tls else "http", grpc)
        self.goaways: list[Goaway] = []
        self.why = ""
        """What was wrong with what the server said."""
        self._writer: asyncio.StreamWriter | None = None
        self._reading: asyncio.Task[None] | None = None
        self._ended: Letter | None = None
        self._news = asyncio.Event()
        self._begun = 0
        self._heard: dict[int, int] = {}

    async def connect(self) -> Letter | None:
        """None when connected, the client's preface sent."""
        context = _context() if self.tls else None
        name = "localhost" if self.tls else None
        opening = asyncio.open_connection(HOST, self.port, ssl=context, server_hostname=name)
        try:
            async with asyncio.timeout(CONNECT):
                reader, writer = await opening
        except TimeoutError:
            return Letter.SILENT
        except ConnectionRefusedError:
            return Letter.REFUSED
        except ssl.SSLEOFError:
            return Letter.CLOSED
        except ssl.SSLError as error:
            self.why = f"no TLS here ({error.reason}): try --http h2c"
            return Letter.OTHER
        except OSError:
            return Letter.RESET
        agreed = writer.get_extra_info("ssl_object") if self.tls else None
        if agreed is not None and agreed.selected_alpn_protocol() != "h2":
            self.why = "ALPN did not agree on h2"
        self._writer = writer
        self._reading = asyncio.create_task(self._read(reader))
        self._write(self.session.opening())
        return None

    def gone(self) -> bool:
        """Whether it can be seen, without sending, that this connection takes no new streams."""
        return self._writer is None or self._ended is not None or bool(self.goaways)

    def closed(self) -> bool:
        """Whether the server has closed it."""
        return self._writer is None or self._ended is not None

    async def send(self, request: Request, *, whole: bool = True) -> Letter | None:
        """A new stream, with its end or without; None when sent."""
        if self._ended is not None:
            return self._ended
        self._begun, data = self.session.begin(request, whole=whole)
        self._write(data)
        return None

    async def finish(self, seconds: float) -> Letter:
        """Send what `send` held back, and wait for the answer."""
        if self._ended is not None:
            return self.session.lost(self._begun, self._ended)
        self._write(self.session.rest(self._begun))
        return await self._answer(self._begun, seconds)

    async def ask(self, request: Request, seconds: float = 4.0, look: bool = True) -> Letter:
        """A whole request on a stream of its own, and what becomes of it."""
        if (self.gone() if look else self.closed()) and self._writer is not None:
            return Letter.SEEN
        if self._writer is None:
            return Letter.NO_KEEP_ALIVE
        failed = await self.send(request)
        return failed or await self._answer(self._begun, seconds)

    async def until_closed(self, seconds: float) -> str:
        """How the server ends it, nothing being sent: "fin", "reset", or "open", by then or `LEAVE` after a GOAWAY."""
        until = time.monotonic() + seconds
        while not self.closed():
            told = self.goaways[0].after / SECOND + LEAVE if self.goaways else until
            left = min(until, told) - time.monotonic()
            if left <= 0:
                break
            with suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self._news.wait()
        return "open" if not self.closed() else "reset" if self._ended is Letter.RESET else "fin"

    async def heard(self, stream_id: int, seconds: float) -> bytes | None:
        """What has come on a stream when more of it has; None at its end, the connection's, or when time is up."""
        stream = self.session.streams[stream_id]
        known = self._heard.get(stream_id, 0)
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while len(stream.body) == known and self._letter(stream_id) is None:
                    await self._news.wait()
        self._heard[stream_id] = len(stream.body)
        return stream.body if len(stream.body) > known else None

    def over(self, stream_id: int) -> bool:
        """Whether a stream, or the connection, has ended."""
        return self._letter(stream_id) is not None

    @property
    def last_stream(self) -> int:
        """The stream that was begun last."""
        return self._begun

    def close(self) -> None:
        """Close this side."""
        if self._reading is not None:
            self._reading.cancel()
        if self._writer is not None:
            self._writer.close()
        self._writer = None

    def _letter(self, stream_id: int) -> Letter | None:
        if self._ended is not None:
            return self.session.lost(stream_id, self._ended)
        return self.session.letter(stream_id)

    async def _answer(self, stream_id: int, seconds: float) -> Letter:
        try:
            async with asyncio.timeout(seconds):
                while (letter := self._letter(stream_id)) is None:
                    await self._news.wait()
        except TimeoutError:
            return Letter.SILENT
        if letter in (Letter.OTHER, Letter.UNAVAILABLE):
            self.why = self.why or f"its answer is {self.session.streams[stream_id].said()}"
        return letter

    def _write(self, data: bytes) -> None:
        if self._writer is not None and not self._writer.is_closing():
            self._writer.write(data)

    async def _read(self, reader: asyncio.StreamReader) -> None:
        ended = Letter.CLOSED
        try:
            while data := await reader.read(65536):
                self._write(self.session.feed(data))
                now = time.monotonic_ns()
                self.goaways += [Goaway(now, *said) for said in self.session.goaways[len(self.goaways) :]]
                self._tell()
        except NotHttp2Error as error:
            http_1 = str(error).startswith("HTTP/1.")
            self.why = "it speaks HTTP/1.1 here, not HTTP/2 with prior knowledge" if http_1 else f"no HTTP/2: {error}"
            ended = Letter.OTHER
        except OSError:
            ended = Letter.RESET
        self._ended = ended
        if self._writer is not None:  # the server has ended it: so does a good client
            self._writer.close()
        self._tell()

    def _tell(self) -> None:
        self._news.set()
        self._news = asyncio.Event()


def _context() -> ssl.SSLContext:
    """Any certificate: whose it is does not matter here."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    return context
