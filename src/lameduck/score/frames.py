"""HTTP/2 from the client's side, without a socket: bytes in, what became of each stream out (RFC 9113).

Frames and header compression are `hyperframe`'s and `hpack`'s. Their own connection object, `h2`, is no help here: it
closes itself at the first GOAWAY, and what a server does with streams after a GOAWAY is what is asked.

Law: a stream has a letter as soon as nothing that may still come would change it for its client.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from hpack import Decoder, Encoder
from hpack.exceptions import HPACKError
from hpack.struct import NeverIndexedHeaderTuple
from hyperframe.exceptions import HyperframeError
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from lameduck.core.shutdown import Letter
from lameduck.score.request import Request

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
WINDOW = 1 << 30
"""What the server may send without asking: more than any answer here."""
FRAME = 16_384
BODY = 65_535
"""What may be sent without waiting for the server's window."""
REFUSED_STREAM = 7
NO_ERROR = 0
GRPC_OK, GRPC_CANCELLED, GRPC_UNIMPLEMENTED, GRPC_UNAVAILABLE = "0", "1", "12", "14"
GRPC_NAMES = (
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
)


class NotHttp2Error(Exception):
    """What came is no HTTP/2."""


@dataclass(slots=True)
class Stream:
    """What has come on one stream."""

    status: str = ""
    grpc_status: str = ""
    body: bytes = b""
    ended: bool = False
    reset: int | None = None
    rest: bytes = b""
    """What was held back of the request."""

    def said(self) -> str:
        """Its status, for people."""
        code = self.grpc_status
        if not code:
            return self.status
        return GRPC_NAMES[int(code)] if code.isdigit() and int(code) < len(GRPC_NAMES) else f"gRPC status {code}"


@dataclass(slots=True)
class Session:
    """One connection. `opening` first, then `begin` and `feed`."""

    authority: str
    scheme: str = "http"
    grpc: bool = False
    goaways: list[tuple[int, int]] = field(default_factory=list)
    """Last stream id and error code of each GOAWAY."""
    streams: dict[int, Stream] = field(default_factory=dict)
    _encoder: Encoder = field(default_factory=Encoder)
    _decoder: Decoder = field(default_factory=Decoder)
    _buffer: bytes = b""
    _block: tuple[int, bool, bytes] | None = None
    """Headers that go on in CONTINUATION: stream, whether it ends, what has come."""
    _next: int = 1
    _greeted: bool = False

    SETTINGS: ClassVar = {SettingsFrame.ENABLE_PUSH: 0, SettingsFrame.INITIAL_WINDOW_SIZE: WINDOW}

    def opening(self) -> bytes:
        """The client's first bytes."""
        window = WindowUpdateFrame(0, window_increment=WINDOW)
        return PREFACE + bytes(SettingsFrame(0, settings=self.SETTINGS).serialize() + window.serialize())

    def begin(self, request: Request, *, whole: bool = True) -> tuple[int, bytes]:
        """A new stream and its bytes; not `whole`: its end is held back for `rest`."""
        stream_id, self._next = self._next, self._next + 2
        body = message(request.body) if self.grpc else request.body
        if len(body) > BODY:
            raise ValueError(f"a body of {len(body)} bytes: at most {BODY} can be sent over HTTP/2 here")
        frame = HeadersFrame(stream_id, flags=["END_HEADERS"])
        # Never indexed: nothing rests on a table whose size the server may change.
        frame.data = self._encoder.encode([NeverIndexedHeaderTuple(*pair) for pair in self._fields(request, body)])
        stream = self.streams[stream_id] = Stream()
        if not body and whole:
            frame.flags.add("END_STREAM")
        data = bytes(frame.serialize())
        ending = b"" if not body and whole else _data(stream_id, body)
        if whole:
            return stream_id, data + ending
        stream.rest = ending
        return stream_id, data

    def rest(self, stream_id: int) -> bytes:
        """What was held back."""
        stream = self.streams[stream_id]
        held, stream.rest = stream.rest, b""
        return held

    def feed(self, data: bytes) -> bytes:
        """Take what came; what must be sent back. Raises `NotHttp2Error`."""
        self._buffer += data
        replies = b""
        try:
            while len(self._buffer) >= 9:
                frame, length = Frame.parse_frame_header(memoryview(self._buffer[:9]))
                if not self._greeted and not isinstance(frame, SettingsFrame):
                    raise NotHttp2Error(self._buffer[:40].decode("latin-1"))
                if len(self._buffer) < 9 + length:
                    break
                frame.parse_body(memoryview(self._buffer[9 : 9 + length]))
                self._buffer = self._buffer[9 + length :]
                self._greeted = True
                replies += self._take(frame)
        except (HyperframeError, HPACKError) as error:
            raise NotHttp2Error(str(error)) from error
        return replies

    def letter(self, stream_id: int) -> Letter | None:
        """What became of a stream; None while that is open."""
        stream = self.streams[stream_id]
        if stream.ended:
            return self._answered(stream)
        if stream.reset is not None:
            return Letter.REFUSED_STREAM if stream.reset == REFUSED_STREAM else Letter.STREAM_RESET
        if any(last < stream_id for last, _ in self.goaways):
            return Letter.UNPROCESSED
        return None

    def lost(self, stream_id: int, broken: Letter) -> Letter:
        """What became of it when the connection has ended: by `broken` if not before."""
        begun = bool(self.streams[stream_id].status)
        return self.letter(stream_id) or (Letter.CUT if begun else broken)

    def _answered(self, stream: Stream) -> Letter:
        answered = Letter.LAST if self.goaways else Letter.ANSWERED
        if self.grpc and stream.grpc_status:
            told = {GRPC_OK: answered, GRPC_UNAVAILABLE: Letter.UNAVAILABLE, GRPC_CANCELLED: Letter.STREAM_RESET}
            return told.get(stream.grpc_status, Letter.OTHER)
        if stream.status[:1] == "5":
            return Letter.UNAVAILABLE
        return answered if stream.status[:1] in ("2", "3") and not self.grpc else Letter.OTHER

    def _fields(self, request: Request, body: bytes) -> list[tuple[str, str]]:
        method = "POST" if self.grpc else request.method
        fields = [(":method", method), (":scheme", self.scheme), (":authority", self.authority)]
        fields += [(":path", request.path), ("user-agent", "lameduck-score")]
        if self.grpc:
            fields += [("content-type", "application/grpc"), ("te", "trailers")]
        elif body:
            fields.append(("content-length", str(len(body))))
        return fields + [(name.lower(), value) for name, value in request.headers]

    def _take(self, frame: Frame) -> bytes:
        match frame:
            case SettingsFrame() if "ACK" not in frame.flags:
                return bytes(SettingsFrame(0, flags=["ACK"]).serialize())
            case PingFrame() if "ACK" not in frame.flags:
                return bytes(PingFrame(0, frame.opaque_data, flags=["ACK"]).serialize())
            case GoAwayFrame():
                self.goaways.append((frame.last_stream_id, frame.error_code))
            case HeadersFrame():
                self._headers(frame.stream_id, "END_STREAM" in frame.flags, frame.data, "END_HEADERS" in frame.flags)
            case ContinuationFrame() if self._block is not None:
                stream_id, ends, so_far = self._block
                self._headers(stream_id, ends, so_far + frame.data, "END_HEADERS" in frame.flags)
            case DataFrame() if (stream := self.streams.get(frame.stream_id)) is not None:
                stream.body += frame.data
                stream.ended = stream.ended or "END_STREAM" in frame.flags
            case RstStreamFrame() if (stream := self.streams.get(frame.stream_id)) is not None:
                stream.reset = frame.error_code
        return b""

    def _headers(self, stream_id: int, ends: bool, block: bytes, complete: bool) -> None:
        if not complete:
            self._block = (stream_id, ends, block)
            return
        self._block = None
        fields = [(_text(name), _text(value)) for name, value in self._decoder.decode(block)]
        stream = self.streams.get(stream_id)
        if stream is None:
            return
        for name, value in fields:
            if name == ":status" and value[:1] != "1":
                stream.status = value
            if name == "grpc-status":
                stream.grpc_status = value
        stream.ended = stream.ended or ends


def message(body: bytes) -> bytes:
    """A gRPC message with its prefix: not compressed, its length."""
    return b"\0" + len(body).to_bytes(4, "big") + body


def messages(body: bytes) -> list[bytes]:
    """The whole messages of a gRPC answer so far."""
    found = []
    while len(body) >= 5 and len(body) >= 5 + (length := int.from_bytes(body[1:5], "big")):
        found.append(body[5 : 5 + length])
        body = body[5 + length :]
    return found


def _data(stream_id: int, body: bytes) -> bytes:
    parts = [body[at : at + FRAME] for at in range(0, len(body), FRAME)] or [b""]
    frames = [DataFrame(stream_id, data=part) for part in parts]
    frames[-1].flags.add("END_STREAM")
    return b"".join(bytes(frame.serialize()) for frame in frames)


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode("latin-1")
