"""One TCP connection and the exchanges on it, over a bare non-blocking socket.

Law: each exchange ends exactly once, by its answer, a failure or a time-out, with the stage it had reached; nothing is
ever sent twice. The socket is worked by hand, not by a transport, because the questions that matter (was it refused or
reset, before or after which byte, is it still open *now*) are answered by the system calls themselves and at the
instant they are made.
"""

from __future__ import annotations

import errno
import socket

import httptools

from lameduck.cluster import Route
from lameduck.core.exchange import Failure, Stage
from lameduck.core.recording import CLOSE_ANNOUNCED, RETRIED
from lameduck.load import failures
from lameduck.load.answer import Answer
from lameduck.load.floor import Floor
from lameduck.load.requests import Request

NONE = -1
"""No exchange is on the connection."""


class Connection:
    """A connection from its dialling to its end. `seq` is the exchange on it now, or `NONE`."""

    __slots__ = (
        "_address",
        "_answer",
        "_fd",
        "_first_byte",
        "_floor",
        "_pending",
        "_reading",
        "_request",
        "_sock",
        "_stage",
        "_writing",
        "idle_since",
        "local_port",
        "nth",
        "number",
        "opened_at",
        "peer",
        "pod",
        "seq",
        "served_by",
        "sleeper",
    )  # fmt: skip

    def __init__(self, floor: Floor) -> None:
        self._floor = floor
        self._sock: socket.socket | None = None
        self._fd = -1
        self._address = ("", 0)
        self._answer = Answer(floor.served_by_name)
        self._pending: bytes | memoryview = b""
        self._stage = Stage.CONNECT
        self._reading = self._writing = False
        self._first_byte = 0
        self.seq = NONE
        self.number = self.nth = self.local_port = self.opened_at = self.idle_since = self.peer = self.pod = 0
        self.served_by = 0
        self.sleeper = NONE
        """Which sleeper of the pool it is, or `NONE`."""

    def __repr__(self) -> str:
        doing = "closed" if not self.open else f"{self._stage} of {self.seq}" if self.seq != NONE else "idle"
        return f"<Connection {self.number} {self._floor.recording.names.texts[self.pod]!r}, {self.nth} sent, {doing}>"

    @property
    def open(self) -> bool:
        """It has a socket and, as far as was seen, a peer."""
        return self._sock is not None and self.opened_at > 0

    def dial(self, route: Route, seq: int, request: Request) -> None:
        """Connect by a route, for one exchange."""
        floor, recording = self._floor, self._floor.recording
        recording.actual_start[seq] = floor.clock()
        self.pod = recording.routed_to[seq] = recording.names.index(route.pod)
        self.peer = recording.peer[seq] = recording.names.index(_text(route.address))
        self.seq, self._request = seq, request
        floor.in_flight[seq] = self
        if route.socket is None:
            self._end(failures.NO_ENDPOINT)
            return
        self._sock, self._fd, self._address = route.socket, route.socket.fileno(), route.address
        floor.connecting[seq] = self
        error = self._sock.connect_ex(route.address)
        if error not in {0, errno.EINPROGRESS}:
            self._end(failures.of_errno(Stage.CONNECT, error))
            return
        self._connect_at_once()

    def begin(self, seq: int, request: Request) -> None:
        """The next exchange on a kept-alive connection."""
        recording = self._floor.recording
        now = self._floor.clock()
        recording.actual_start[seq] = now
        recording.idle[seq] = now - self.idle_since
        recording.routed_to[seq] = self.pod
        recording.peer[seq] = self.peer
        self.seq, self._request = seq, request
        self._floor.in_flight[seq] = self
        self._note_connection()
        self._start_request()
        self._push()

    def look(self) -> bool:
        """Is the idle connection still open, and has nothing come that nobody asked for?"""
        if self._sock is None:
            return False
        try:
            self._sock.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        except OSError:
            pass
        return False

    def time_out(self) -> None:
        """Our patience with the present exchange has ended."""
        self._end(failures.of_timeout(self._stage))

    def cut(self) -> None:
        """The run ends now, whatever the present exchange is doing."""
        self._end(failures.STOPPED)

    def close(self) -> None:
        """Let go of the socket; a second call does nothing."""
        if self._sock is None:
            return
        self._listen(reading=False, writing=False)
        self._sock.close()
        self._sock = None
        self._answer.release()
        self._floor.lingering.pop(self, None)

    # Connecting

    def _connect_at_once(self) -> None:
        """Over loopback the handshake is over before connect(2) returns: sending shows it, and saves a turn."""
        assert self._sock is not None
        now = self._floor.clock()
        try:
            sent = self._sock.send(self._request.wire)
        except BlockingIOError:
            self._listen(reading=False, writing=True)
        except OSError as error:
            if error.errno in {errno.ECONNRESET, errno.EPIPE}:  # only a connection that was made can break like that
                if not self._connected(now):
                    return
                self._start_request()
            self._end(failures.of_errno(self._stage, error.errno or 0))
        else:
            if self._connected(now):
                self._start_request()
                self._sent(sent, self._request.wire)

    def _on_connected(self) -> None:
        assert self._sock is not None
        self._listen(reading=False, writing=False)
        error = self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            self._end(failures.of_errno(Stage.CONNECT, error))
            return
        if self._connected(self._floor.clock()):
            self._secure()

    def _connected(self, now: int) -> bool:
        """The handshake of TCP is over. False if we got through to ourselves: so much as a refusal."""
        assert self._sock is not None
        local = self._sock.getsockname()[:2]
        if local == self._address:  # simultaneous open: our own port, picked by chance, is the one that nobody serves
            self._end(failures.of_errno(Stage.CONNECT, errno.ECONNREFUSED))
            return False
        self._floor.opened += 1
        self.number, self.opened_at, self.local_port = self._floor.opened, now, local[1]
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._note_connection()
        return True

    def _secure(self) -> None:
        """The connection is made; what has to come before the first request comes here."""
        self._start_request()
        self._push()

    def _note_connection(self) -> None:
        seq, recording = self.seq, self._floor.recording
        recording.connected[seq] = self.opened_at
        recording.connection[seq] = self.number
        recording.local_port[seq] = self.local_port

    # Sending

    def _start_request(self) -> None:
        self._floor.connecting.pop(self.seq, None)
        self.nth += 1
        self._floor.recording.nth_on_connection[self.seq] = self.nth
        self._stage = Stage.SEND
        self._first_byte = 0
        self._pending = self._request.wire
        self._answer.expect(head=self._request.head, keep=self._request.check is not None)

    def _push(self) -> None:
        """Send what is left of the request."""
        try:
            sent = self._write(self._pending)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            self._break(error)
            return
        self._sent(sent, self._pending)

    def _sent(self, count: int, offered: bytes | memoryview) -> None:
        self._floor.recording.bytes_sent += count
        if count == len(offered):
            self._pending = b""
            self._floor.recording.sent[self.seq] = self._floor.clock()
            if self._stage is Stage.SEND:
                self._stage = Stage.AWAIT
            self._listen(reading=True, writing=False)
        else:
            self._pending = memoryview(offered)[count:]
            self._listen(reading=True, writing=True)

    def _write(self, data: bytes | memoryview) -> int:
        assert self._sock is not None
        return self._sock.send(data)

    # Receiving

    def _read_on(self) -> None:
        try:
            count = self._read()
        except BlockingIOError:
            return
        except OSError as error:
            self._break(error)
            return
        self._received(count)

    def _read(self) -> int:
        assert self._sock is not None
        return self._sock.recv_into(self._floor.buffer)

    def _received(self, count: int) -> None:
        if self.seq == NONE:
            self._unasked()
        elif count:
            self._take(count)
        elif self._answer.finish():
            self._answered()
        else:
            self._end(failures.of_end(self._stage))

    def _take(self, count: int) -> None:
        """Bytes of the answer have come."""
        floor, answer = self._floor, self._answer
        now = floor.clock()
        floor.recording.bytes_received += count
        try:
            answer.feed(floor.buffer[:count])
        except httptools.HttpParserError as error:
            floor.recording.first_byte[self.seq] = self._first_byte or now
            self._end(failures.of_protocol(error))
            return
        if answer.begun and not self._first_byte:
            self._first_byte = floor.recording.first_byte[self.seq] = now
            self._stage = Stage.READ
        if answer.whole:
            self._answered()

    def _answered(self) -> None:
        """The answer is whole: judge it, and keep the connection if it may be kept."""
        request, answer = self._request, self._answer
        self._settle(request.judge(answer.status, answer.body))
        if self._pending or answer.spoiled:
            self._drop()
        elif request.one_shot and not answer.reusable:
            self._linger()
        elif request.one_shot or not answer.reusable:
            self._drop()
        else:
            self._keep()

    def _break(self, error: OSError) -> None:
        """The connection broke under us."""
        if self.seq == NONE:
            self._unasked()
        else:
            self._end(failures.of_errno(self._stage, error.errno or 0))

    # Ending

    def _settle(self, failure: Failure | None) -> None:
        """Write down the exchange's end."""
        floor, answer, seq = self._floor, self._answer, self.seq
        recording = floor.recording
        if answer.status:
            recording.status[seq] = answer.status
            recording.size[seq] = min(answer.size, 0xFFFFFFFF)
            if answer.served_by:
                self.served_by = recording.names.index(answer.served_by.decode("latin-1"))
                recording.served_by[seq] = self.served_by
            if answer.close_said and not self._request.one_shot:
                recording.flags[seq] |= CLOSE_ANNOUNCED
            if answer.retried:
                recording.flags[seq] |= RETRIED
        self.idle_since = floor.clock()
        self.seq = NONE
        del floor.in_flight[seq]
        floor.connecting.pop(seq, None)
        recording.settle(seq, self.idle_since, failure)

    def _end(self, failure: Failure) -> None:
        if not self.local_port and self._sock is not None:  # the port tells who was asked, also when nobody answered
            self._floor.recording.local_port[self.seq] = self._sock.getsockname()[1]
        self._settle(failure)
        self._drop()

    def _drop(self) -> None:
        self.close()
        if not self._request.one_shot:
            self._floor.lost(self)

    def _keep(self) -> None:
        if not self._floor.listen_idle:
            self._listen(reading=False, writing=False)
        self._floor.freed(self)

    def _linger(self) -> None:
        """Let the server close first: who closes first keeps the port for a minute, and we need ours."""
        self._floor.lingering[self] = self.idle_since

    def _unasked(self) -> None:
        """Something happened on a connection without an exchange: its end, or bytes that nobody asked for."""
        lingered = self in self._floor.lingering
        self.close()
        if not lingered:
            self._floor.recording.closed_idle += 1
            self._floor.lost(self)

    def _listen(self, *, reading: bool, writing: bool) -> None:
        loop = self._floor.loop
        if reading is not self._reading:
            self._reading = reading
            if reading:
                loop.add_reader(self._fd, self._on_readable)
            else:
                loop.remove_reader(self._fd)
        if writing is not self._writing:
            self._writing = writing
            if writing:
                loop.add_writer(self._fd, self._on_writable)
            else:
                loop.remove_writer(self._fd)

    def _on_readable(self) -> None:
        try:
            self._read_on()
        except Exception as error:
            self._floor.crashed(error)

    def _on_writable(self) -> None:
        try:
            self._write_on()
        except Exception as error:
            self._floor.crashed(error)

    def _write_on(self) -> None:
        if self.opened_at:
            self._push()
        else:
            self._on_connected()


def _text(address: tuple[str, int]) -> str:
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
