"""How everything in a pod learns that the pod drains: an abstract Unix socket, published by whoever drains.

The publisher (`lameduck-pod drain` at its start, `run --delay` and `run --until-quiet` at the stop signal) listens on
the abstract name ``lameduck/POD`` or, with a token, ``lameduck/POD/TOKEN``. Abstract names belong to the network
namespace, which all containers of a pod share: no file, no volume, any user, a read-only root. POD is the host name
(LAMEDUCK_POD where that is the node's: hostNetwork). The token keeps others off in a network namespace that is not
the pod's own.

The protocol, lines of ASCII on a stream:

    publisher → reader   draining UNTIL        lame until CLOCK_MONOTONIC ns UNTIL, also when the publisher ends before
    publisher → reader   released              no stop signal came: serve as before
    reader → publisher   in-flight N           requests in hand now; again whenever N changes

Laws: that one can connect *is* the news, so a reader is lame from then on; a reader may connect at any time and needs
no thread (it looks while it answers, at most every `EVERY`); whoever goes takes his requests in hand with him.
"""

from __future__ import annotations

import contextlib
import socket
import time

TYPE_CHECKING = False

EVERY = 100_000_000
"""A reader looks no more often, in nanoseconds; a look that finds nobody costs about 5 µs."""
UNHEARD = 1_000_000_000
"""How long to stay lame, without a word of how long, when the publisher vanishes; ns."""


def name(pod: str, token: str = "") -> str:
    """The abstract socket's name."""
    return f"\0lameduck/{pod[:63]}" + (f"/{token[:32]}" if token else "")


class Publisher:
    """Says "draining" until closed. Raises OSError (EADDRINUSE) when somebody in this pod already does."""

    def __init__(self, pod: str, token: str, until: int) -> None:
        self.until = until
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self.listener.bind(name(pod, token))
            self.listener.listen(128)
        except OSError:
            self.listener.close()
            raise
        self.listener.setblocking(False)
        self.readers: dict[socket.socket, bytes] = {}
        self.counts: dict[socket.socket, int] = {}

    def poll(self) -> int | None:
        """Requests in hand, of all readers together; None: nobody has said."""
        with contextlib.suppress(BlockingIOError):
            while True:
                reader, _ = self.listener.accept()
                reader.setblocking(False)
                self.readers[reader] = b""
                self._say(reader, f"draining {self.until}\n")
        for reader in list(self.readers):
            self._hear(reader)
        return sum(self.counts.values()) if self.counts else None

    def release(self) -> None:
        """No stop signal came: all serve as before."""
        for reader in list(self.readers):
            self._say(reader, "released\n")
        self.close()

    def close(self) -> None:
        """Ends publishing; the readers stay lame until `until`."""
        for open_socket in (self.listener, *self.readers):
            open_socket.close()
        self.readers.clear()
        self.counts.clear()

    def _say(self, reader: socket.socket, line: str) -> None:
        with contextlib.suppress(OSError):
            reader.send(line.encode(), socket.MSG_NOSIGNAL)

    def _hear(self, reader: socket.socket) -> None:
        try:
            data = reader.recv(4096)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            reader.close()
            del self.readers[reader]
            if reader in self.counts:
                self.counts[reader] = 0  # it has said so once: a layer is there, and it has nothing in hand now
            return
        *lines, self.readers[reader] = (self.readers[reader] + data[-4096:]).split(b"\n")
        for line in lines:
            word, _, number = line.partition(b" ")
            if word == b"in-flight" and number.isdigit():
                self.counts[reader] = int(number)


class Reader:
    """Asks whether this pod drains. Not for use by several threads at once; make a new one after a fork."""

    def __init__(self, pod: str, token: str = "") -> None:
        self.name = name(pod, token)
        self.until = 0
        self.next_look = 0
        self.connection: socket.socket | None = None
        self.heard = b""
        self.reported = -1

    def look(self, in_flight: int = 0) -> bool:
        """Whether this pod drains; tells the publisher how many requests are in hand."""
        now = time.monotonic_ns()
        if now >= self.next_look:
            self.next_look = now + EVERY
            if self.connection is None:
                self._connect(now)
            if self.connection is not None:
                self._hear(self.connection)
        if self.connection is not None and in_flight != self.reported:
            self._report(self.connection, in_flight)
        return self.connection is not None or now < self.until

    def close(self) -> None:
        """Gives the socket back."""
        if self.connection is not None:
            self.connection.close()
            self.connection = None

    def _connect(self, now: int) -> None:
        attempt = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        attempt.setblocking(False)
        try:
            attempt.connect(self.name)
        except OSError:  # refused: nobody drains
            attempt.close()
            return
        self.connection, self.heard, self.reported = attempt, b"", -1
        self.until = max(self.until, now + UNHEARD)

    def _hear(self, connection: socket.socket) -> None:
        try:
            data = connection.recv(4096)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        *lines, self.heard = (self.heard + data).split(b"\n")
        for line in lines:
            word, _, number = line.partition(b" ")
            if word == b"draining" and number.isdigit():
                self.until = int(number)
            elif word == b"released":
                self.until = 0
                data = b""
        if not data:
            self.close()

    def _report(self, connection: socket.socket, in_flight: int) -> None:
        with contextlib.suppress(OSError):
            connection.send(f"in-flight {in_flight}\n".encode(), socket.MSG_NOSIGNAL)
            self.reported = in_flight
