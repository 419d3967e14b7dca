"""The answers on one connection, parsed from bytes in whatever pieces they come.

Law: an answer is *whole* when its framing says so (RFC 9112, section 6): no body after HEAD, 1xx, 204 and 304; the last
chunk; Content-Length bytes; else the end of the connection. Interim answers (1xx) are skipped. Whatever follows a whole
answer is nobody's: it *spoils* the connection, never the answer.
"""

from __future__ import annotations

import httptools

from lameduck.load.expectations import KEEP

LONGEST_HEAD = 1 << 20
"""Bytes of a head (with interim answers) after which it is taken for an endless one."""

ATTEMPTS, UPSTREAMS = b"x-envoy-attempt-count", b"x-upstream-addr"
"""How a hop says that it tried more than once: Envoy's count; nginx's $upstream_addr, under its usual header."""


class Answer:
    """One answer after the other: `expect`, then `feed` until `whole` (or `finish` at the end of the connection).

    `begun` says whether a byte of the final answer has come, `status`, `size` (bytes of body), `served_by`,
    `close_said`, `retried` (a hop tried more than once) and `body` (only if asked for, at most `KEEP` bytes) what it
    said.
    """

    __slots__ = (
        "_framed", "_head", "_head_size", "_headed", "_keep", "_kept_alive", "_parser", "_served_by_name",
        "begun", "body", "close_said", "retried", "reusable", "served_by", "size", "spoiled", "status", "whole",
    )  # fmt: skip

    def __init__(self, served_by_name: bytes) -> None:
        self._served_by_name = served_by_name
        self._parser: httptools.HttpResponseParser | None = None
        self._head = self._keep = self.spoiled = False
        self._head_size = 0
        self.begun = self.whole = self.reusable = self.close_said = self.retried = False
        self._headed = self._framed = self._kept_alive = False
        self.status = self.size = 0
        self.served_by = b""
        self.body = bytearray()

    def expect(self, *, head: bool = False, keep: bool = False) -> None:
        """Get ready for the next answer: one to HEAD, or one whose body is needed."""
        self._head, self._keep = head, keep
        self._head_size = 0
        if self._parser is None:
            self._parser = httptools.HttpResponseParser(self)
        self._clear()

    def feed(self, data: bytes | memoryview) -> None:
        """Take what came. Raises `httptools.HttpParserError` when it is no HTTP and the answer was not yet whole."""
        if self.whole:
            self.spoiled = True
            return
        if not self._headed:
            self._head_size += len(data)
            if self._head_size > LONGEST_HEAD:
                raise httptools.HttpParserError("The head does not end")
        assert self._parser is not None
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:  # nobody asked for another protocol: its bytes are of no use
            self.spoiled = True
        except httptools.HttpParserError:
            self.spoiled = True
            if not self.whole:
                raise

    def finish(self) -> bool:
        """The connection ended in good order: is the answer whole by that?"""
        if self._headed and not self.whole and not self._framed:
            self.whole = True
        return self.whole

    def release(self) -> None:
        """Let go of the parser, which refers back to this object (the collector is off while the engine runs)."""
        self._parser = None

    def _clear(self) -> None:
        self.begun = self.whole = self.reusable = self.close_said = self.retried = False
        self._headed = self._framed = self._kept_alive = False
        self.status = self.size = 0
        self.served_by = b""
        self.body = bytearray()

    # What httptools calls, in this order.

    def on_message_begin(self) -> None:
        """The first byte of a message."""
        if self.whole:
            self.spoiled = True
        self.begun = True

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header, or a trailer."""
        if self._headed:
            return  # a trailer
        name = name.lower()
        if name == b"content-length":
            self._framed = True
        elif name == b"connection":
            tokens = [token.strip() for token in value.lower().split(b",")]
            self.close_said = self.close_said or b"close" in tokens
            self._kept_alive = self._kept_alive or b"keep-alive" in tokens
        elif name == b"transfer-encoding":
            self._framed = value.lower().endswith(b"chunked")
        elif name == ATTEMPTS:
            self.retried = value.strip() not in {b"", b"0", b"1"}
        elif name == UPSTREAMS:
            self.retried = b"," in value
        if name == self._served_by_name and not self.whole:
            self.served_by = value

    def on_headers_complete(self) -> None:
        """The end of the head."""
        if self.whole:
            return
        assert self._parser is not None
        self.status = self._parser.get_status_code()
        self._headed = True
        if self._head and self.status >= 200:
            version = self._parser.get_http_version()
            self.reusable = not self.close_said and (version == "1.1" or self._kept_alive)
            self.whole = True
            self._parser = None  # it waits for a body that will not come

    def on_body(self, data: bytes) -> None:
        """A piece of the body, without its framing."""
        if self.whole:
            self.spoiled = True
            return
        self.size += len(data)
        if self._keep:
            self.body += data[: KEEP - len(self.body)]

    def on_message_complete(self) -> None:
        """The end of a message by its own framing."""
        if self.whole:
            return
        if 100 <= self.status < 200 and self.status != 101:
            self._clear()
            return
        assert self._parser is not None
        self.reusable = self._parser.should_keep_alive()
        self.whole = True
