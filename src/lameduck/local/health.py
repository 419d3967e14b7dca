"""The question of a gRPC probe and its answer: one ``grpc.health.v1.Health/Check`` over HTTP/2, without a library.

Law (kubelet ``probe/grpc``): the call is not encrypted, and only SERVING is a success. Pure: bytes in, bytes and words
out. What the call needs of HTTP/2 (RFC 9113) is little: the request is one HEADERS and one DATA frame with literal
header fields (RFC 7541), and of the answer the DATA frames are enough, since an error has none.
"""

from __future__ import annotations

from collections.abc import Iterator

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RST_STREAM, _SETTINGS, _GOAWAY = 0, 1, 3, 4, 7
_END_STREAM, _END_HEADERS, _PADDED = 1, 4, 8
_CALL = 1
"""The stream's number."""
_WORDS = {0: "UNKNOWN", 1: "SERVING", 2: "NOT_SERVING", 3: "SERVICE_UNKNOWN"}


def request(authority: str, service: str, agent: str) -> bytes:
    """All that a client says: preface, settings and the whole call about a service ("" is the server itself)."""
    fields = [
        b"\x83\x86",  # :method POST, :scheme http, of the static table
        b"\x04" + _text("/grpc.health.v1.Health/Check"),
        b"\x01" + _text(authority),
        b"\x0f\x10" + _text("application/grpc"),  # content-type
        b"\x00" + _text("te") + _text("trailers"),
        b"\x0f\x2b" + _text(agent),  # user-agent
    ]
    name = service.encode()
    message = b"\x0a" + _number(len(name)) + name if name else b""
    return b"".join(
        [
            _PREFACE,
            _frame(_SETTINGS, 0, 0, b""),
            _frame(_HEADERS, _END_HEADERS, _CALL, b"".join(fields)),
            _frame(_DATA, _END_STREAM, _CALL, b"\x00" + len(message).to_bytes(4, "big") + message),
        ]
    )


def judged(answer: bytes, *, closed: bool) -> tuple[bool, str] | None:
    """(ok, why not) of what has come so far, None while more is needed."""
    if answer[:5] == b"HTTP/":
        return False, "it speaks HTTP/1.1, not gRPC"
    data = b""
    for kind, flags, stream, payload in _frames(answer):
        if stream == _CALL and kind == _DATA:
            data += payload[1 : len(payload) - payload[0]] if flags & _PADDED else payload
            if len(data) >= 5 and len(data) >= 5 + int.from_bytes(data[1:5], "big"):
                return _said(data[5 : 5 + int.from_bytes(data[1:5], "big")])
        elif stream == _CALL and (kind == _RST_STREAM or (kind == _HEADERS and flags & _END_STREAM)):
            return False, "it has no grpc.health.v1.Health, or does not know the service"
        elif kind == _GOAWAY:
            return False, "it refused the call"
    return (False, "closed without a gRPC answer") if closed else None


def _said(message: bytes) -> tuple[bool, str]:
    """A HealthCheckResponse: its first field, a small number, or nothing, which stands for 0."""
    status = message[1] if message[:1] == b"\x08" and len(message) > 1 else 0
    return status == 1, "" if status == 1 else f"it says {_WORDS.get(status, status)}"


def _frames(answer: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    """(kind, flags, stream, payload) of every whole frame."""
    while len(answer) >= 9 and len(answer) >= 9 + (length := int.from_bytes(answer[:3], "big")):
        stream = int.from_bytes(answer[5:9], "big") & 0x7FFF_FFFF
        yield answer[3], answer[4], stream, answer[9 : 9 + length]
        answer = answer[9 + length :]


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def _text(text: str) -> bytes:
    """A string literal, not Huffman-coded: its length is a prefix integer of 7 bits."""
    raw = text.encode()
    return (bytes([len(raw)]) if len(raw) < 127 else b"\x7f" + _number(len(raw) - 127)) + raw


def _number(value: int) -> bytes:
    """Seven bits to a byte, the lowest first: protobuf's varint, and what follows a full prefix in HPACK."""
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])
