"""HTTP/1.1 messages as a proxy handles them: heads are read and rewritten, bodies are passed on as they come.

Law: where a body ends is decided by its head alone (RFC 9112, section 6.3), and what is passed on keeps its framing;
the headers of one hop (RFC 9110, section 7.6.1) never reach the next.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

CHUNKED = -1
UNTIL_END = -2
"""Lengths of a body that no number says in advance."""

_PIECE = 1 << 16
_OF_ONE_HOP = frozenset(
    {b"connection", b"keep-alive", b"proxy-connection", b"te", b"upgrade", b"expect", b"proxy-authenticate"}
)


class Malformed(Exception):
    """What came is no HTTP/1.1 message."""


@dataclass(frozen=True, slots=True)
class Head:
    """A message's first line, in its three parts, and its headers as they came."""

    first: tuple[bytes, bytes, bytes]
    headers: tuple[tuple[bytes, bytes], ...]

    def value(self, name: bytes) -> bytes:
        """A header's values joined by commas, in small letters; b"" without one."""
        return b",".join(value for key, value in self.headers if key.lower() == name).lower()

    @property
    def status(self) -> int:
        """The status of an answer."""
        return int(self.first[1])

    @property
    def persistent(self) -> bool:
        """Whether the sender would use the connection again."""
        said = self.value(b"connection")
        version = self.first[0] if self.first[0].startswith(b"HTTP/") else self.first[2]
        return b"close" not in said if version == b"HTTP/1.1" else b"keep-alive" in said

    def onward(self, *more: tuple[bytes, bytes]) -> bytes:
        """The head as the next hop gets it, with more headers at its end."""
        lines = [b" ".join(self.first)]
        lines += [b"%b: %b" % (key, value) for key, value in self.headers if key.lower() not in _OF_ONE_HOP]
        lines += [b"%b: %b" % header for header in more]
        return b"\r\n".join(lines) + b"\r\n\r\n"


def parse(raw: bytes) -> Head:
    """A head up to its empty line. Raises `Malformed`."""
    first, *lines = raw.rstrip(b"\r\n").split(b"\r\n")
    words = first.split(b" ", 2)
    if len(words) == 2 and words[0].startswith(b"HTTP/1."):
        words.append(b"")
    if len(words) != 3 or not ((words[0].startswith(b"HTTP/1.") and words[1].isdigit()) or words[2][:7] == b"HTTP/1."):
        raise Malformed(first[:80])
    headers = []
    for line in lines:
        key, colon, value = line.partition(b":")
        if not colon or not key or key != key.strip():
            raise Malformed(line[:80])
        headers.append((key, value.strip()))
    return Head((words[0], words[1], words[2]), tuple(headers))


def length_of_request(head: Head) -> int:
    """How long the body is that follows a request's head."""
    return CHUNKED if head.value(b"transfer-encoding").endswith(b"chunked") else _number(head, 0)


def length_of_answer(head: Head, method: bytes) -> int:
    """How long the body is that follows an answer's head."""
    if method == b"HEAD" or head.status < 200 or head.status in {204, 304}:
        return 0
    encoding = head.value(b"transfer-encoding")
    if encoding:
        return CHUNKED if encoding.endswith(b"chunked") else UNTIL_END
    return _number(head, UNTIL_END)


def _number(head: Head, otherwise: int) -> int:
    said = head.value(b"content-length")
    if not said:
        return otherwise
    if not said.isdigit():
        raise Malformed(b"Content-Length: " + said[:40])
    return int(said)


async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, length: int) -> None:
    """Copy a body of this length. Raises `asyncio.IncompleteReadError` where it ends too early."""
    if length == CHUNKED:
        while await _pass_chunk(reader, writer):
            pass
        return
    left = length
    while left:
        data = await reader.read(_PIECE if left < 0 else min(left, _PIECE))
        if not data:
            if length == UNTIL_END:
                return
            raise asyncio.IncompleteReadError(b"", left)
        writer.write(data)
        await writer.drain()
        left -= len(data) if length != UNTIL_END else 0


async def _pass_chunk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    """One chunk; False if it was the last one, whose trailers are passed on as well."""
    line = await reader.readuntil(b"\r\n")
    try:
        size = int(line.partition(b";")[0], 16)
    except ValueError:
        raise Malformed(line[:40]) from None
    writer.write(line)
    if size:
        await pass_on(reader, writer, size + 2)
        return True
    while (trailer := await reader.readuntil(b"\r\n")) != b"\r\n":
        writer.write(trailer)
    writer.write(b"\r\n")
    await writer.drain()
    return False
