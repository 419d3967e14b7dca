"""An ingress in a process of its own: an HTTP/1.1 proxy that dials the pods itself, modelled on Traefik as measured.

Laws: pods take turns; a table that is told is in force from then on; connections to pods are kept and used again, also
to a pod that has left the table, until they have been idle for 90 s; a pod that refuses is a 502, one that answers no
dial within 30 s a 504, no pod at all a 503. A request without a body and with a safe method whose *reused* connection
ends before the first byte of an answer is sent once more to the same pod (Go's ``http.Transport``). When the client
leaves, so does its request. What became of every request is told to lameduck, so that no cause has to be guessed.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import sys
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from lameduck.core.exchange import Kind, Stage
from lameduck.core.join import NO_ENDPOINT
from lameduck.local import channel, wire
from lameduck.local.upstream import Connection, Pod
from lameduck.local.wire import Head

TELL_EVERY = 0.1
_ENTRIES = 400
"""So many entries of the log go into one packet."""
_REPLAYABLE = frozenset({b"GET", b"HEAD", b"OPTIONS", b"TRACE"})
_KINDS = {
    errno.ECONNREFUSED: Kind.REFUSED,
    errno.EHOSTUNREACH: Kind.UNREACHABLE,
    errno.ENETUNREACH: Kind.UNREACHABLE,
    errno.ETIMEDOUT: Kind.TIMEOUT,
}


@dataclass(slots=True)
class Entry:
    """What became of one request: from which port of the client, when, at which pod, how far it came there."""

    port: int
    at: int
    pod: str = ""
    stage: Stage = Stage.CONNECT
    kind: str = ""
    """A `Kind`, "" while it is under way and where nothing failed."""
    detail: str = ""
    reused: bool = False
    idle: int = 0
    """For how long nothing had been on the reused connection (ns, to the millisecond)."""
    again: int = 0
    """The instant of the second try, 0 without one."""

    def fail(self, kind: Kind, detail: str = "") -> None:
        """It failed at the stage that it had reached."""
        self.kind, self.detail = kind.value, detail

    def told(self) -> list[Any]:
        """As it goes over the channel."""
        return [self.port, self.at, self.pod, self.stage, self.kind, self.detail, self.reused, self.idle, self.again]


@dataclass(slots=True)
class Ingress:
    """The proxy, and its end of the channel to lameduck."""

    control: socket.socket
    pods: dict[str, Pod] = field(default_factory=dict)
    table: deque[str] = field(default_factory=deque)
    done: deque[Entry] = field(default_factory=deque)
    entries: dict[int, Entry] = field(default_factory=dict)
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    async def serve(self) -> None:
        """Work until lameduck closes the channel."""
        loop = asyncio.get_running_loop()
        server = await loop.create_server(self._door, "127.0.0.1", 0, backlog=1024)
        loop.add_reader(self.control, self._hear)
        self._say("up", port=server.sockets[0].getsockname()[1])
        while not self.ended.is_set():
            try:
                async with asyncio.timeout(TELL_EVERY):
                    await self.ended.wait()
            except TimeoutError:
                self._tell()
        server.close()

    def _door(self) -> asyncio.Protocol:
        return _Door(self)

    # the channel

    def _say(self, saw: str, **facts: Any) -> None:
        try:
            channel.send(self.control, {"saw": saw, **facts})
        except OSError:
            self.ended.set()

    def _tell(self, *, all_of_them: bool = False) -> None:
        """Tell what has ended since the last time (at the very end also what has not)."""
        entries = [entry.told() for entry in self.done]
        self.done.clear()
        if all_of_them:
            entries += [entry.told() for entry in self.entries.values()]
        held = {name: pod.sweep() for name, pod in self.pods.items()}
        for start in range(0, max(1, len(entries)), _ENTRIES):
            self._say("log", entries=entries[start : start + _ENTRIES], open=held)

    def _hear(self) -> None:
        try:
            message, descriptors = channel.receive(self.control)
        except BlockingIOError:
            return
        if message is None:
            self.ended.set()
            return
        match message["do"]:
            case "table":
                for name, host, port in message["pods"]:
                    if name not in self.pods:
                        self.pods[name] = Pod(name, (host, port), self._ask)
                        self.pods[name].fill()
                self.table = deque(name for name, _, _ in message["pods"])
            case "sockets" if message["pod"] in self.pods:
                self.pods[message["pod"]].add(descriptors)
            case "forget" if message["pod"] in self.pods:
                self.pods.pop(message["pod"]).close()
            case "flush":
                self._tell(all_of_them=True)
                self._say("flushed")
            case _:
                for stray in descriptors:
                    os.close(stray)

    def _ask(self, pod: str, count: int) -> None:
        self._say("dry", pod=pod, count=count)

    # requests

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one client's connection to its end."""
        port = writer.get_extra_info("peername")[1]
        try:
            while True:
                head = wire.parse(await reader.readuntil(b"\r\n\r\n"))
                entry = Entry(port, time.monotonic_ns())
                self.entries[id(entry)] = entry
                try:
                    if not await self._serve(head, reader, writer, entry):
                        return
                finally:
                    self.done.append(self.entries.pop(id(entry)))
        except (wire.Malformed, asyncio.LimitOverrunError):
            writer.write(_answer(b"400 Bad Request", last=True))
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            writer.close()

    async def _serve(
        self, head: Head, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, entry: Entry
    ) -> bool:
        """One request. Returns whether the client's connection can take another one."""
        length = wire.length_of_request(head)
        keep = head.persistent
        if head.value(b"expect") == b"100-continue":
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        pod = self._next()
        if pod is None:
            entry.fail(Kind.REFUSED, NO_ENDPOINT)
            return self._fault(writer, b"503 Service Unavailable", keep=keep and not length)
        entry.pod = pod.name
        replayable = head.first[0] in _REPLAYABLE and not length
        while True:
            connection = pod.take_idle()
            entry.reused = connection is not None
            entry.idle = round((time.monotonic() - connection.idle_since) * 1e3) * 1_000_000 if connection else 0
            try:
                if connection is None:
                    entry.stage = Stage.RESOLVE
                    source = await pod.socket()
                    entry.stage = Stage.CONNECT
                    connection = await pod.dial(source)
                answer = await _ask_pod(connection, head, reader, length, entry)
            except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, wire.Malformed) as error:
                pod.drop(connection)
                if entry.reused and replayable:
                    entry.again = time.monotonic_ns()
                    continue
                entry.fail(_kind(error))
                late = isinstance(error, TimeoutError)
                status = b"504 Gateway Timeout" if late else b"502 Bad Gateway"
                return self._fault(writer, status, keep=keep and not length)
            except BaseException:
                pod.drop(connection)
                raise
            break
        entry.stage = Stage.READ
        whole = False
        try:
            keep = await _give_back(connection, answer, head, reader, writer, keep=keep)
            whole = True
        except asyncio.IncompleteReadError:
            entry.fail(Kind.TRUNCATED)
            return False
        finally:
            if whole and answer.persistent and wire.length_of_answer(answer, head.first[0]) != wire.UNTIL_END:
                pod.give(connection)
            else:
                pod.drop(connection)
        return keep

    def _next(self) -> Pod | None:
        if not self.table:
            return None
        self.table.rotate(-1)
        return self.pods[self.table[-1]]

    def _fault(self, writer: asyncio.StreamWriter, status: bytes, *, keep: bool) -> bool:
        writer.write(_answer(status, last=not keep))
        return keep


class _Door(asyncio.StreamReaderProtocol):
    """A client's connection: its end cancels what is done for it."""

    def __init__(self, ingress: Ingress) -> None:
        super().__init__(asyncio.StreamReader(), self._begin)
        self._ingress = ingress
        self._work: asyncio.Task[None] | None = None

    def _begin(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._work = asyncio.ensure_future(self._ingress.carry(reader, writer))

    def eof_received(self) -> bool:
        """The client sends no more: it has left."""
        self._leave()
        return bool(super().eof_received())

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has left."""
        self._leave()
        super().connection_lost(exc)

    def _leave(self) -> None:
        if self._work is not None and not self._work.done():
            self._work.cancel()


async def _ask_pod(connection: Connection, head: Head, body: asyncio.StreamReader, length: int, entry: Entry) -> Head:
    """Send a request on a connection and read the answer's head (interim ones are left out, but for 101)."""
    entry.stage = Stage.SEND
    upgrade = head.value(b"upgrade")
    onward = [(b"X-Forwarded-For", b"127.0.0.1"), (b"X-Forwarded-Proto", b"http")]
    onward += [(b"Connection", b"Upgrade"), (b"Upgrade", upgrade)] if upgrade else []
    connection.writer.write(head.onward(*onward))
    await wire.pass_on(body, connection.writer, length)
    await connection.writer.drain()
    entry.stage = Stage.AWAIT
    while True:
        answer = wire.parse(await connection.reader.readuntil(b"\r\n\r\n"))
        if answer.status >= 200 or answer.status == 101:
            return answer


async def _give_back(
    connection: Connection,
    answer: Head,
    head: Head,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    *,
    keep: bool,
) -> bool:
    """Pass an answer on to the client. Returns whether its connection can take another request."""
    if answer.status == 101:
        writer.write(answer.onward((b"Connection", b"Upgrade"), (b"Upgrade", answer.value(b"upgrade"))))
        ways = ((reader, connection.writer), (connection.reader, writer))
        tasks = [asyncio.ensure_future(wire.pass_on(*way, wire.UNTIL_END)) for way in ways]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        return False
    length = wire.length_of_answer(answer, head.first[0])
    keep = keep and length != wire.UNTIL_END
    writer.write(answer.onward(*(() if keep else ((b"Connection", b"close"),))))
    await wire.pass_on(connection.reader, writer, length)
    return keep


def _answer(status: bytes, *, last: bool) -> bytes:
    """An answer of the ingress's own."""
    body = status.partition(b" ")[2]
    close = b"Connection: close\r\n" if last else b""
    return b"HTTP/1.1 %b\r\nServer: lameduck-ingress\r\nContent-Length: %d\r\n%b\r\n%b" % (
        status,
        len(body),
        close,
        body,
    )


def _kind(error: Exception) -> Kind:
    match error:
        case asyncio.IncompleteReadError():
            return Kind.CLOSED
        case TimeoutError():
            return Kind.TIMEOUT
        case OSError():
            return _KINDS.get(error.errno or 0, Kind.RESET)
    return Kind.PROTOCOL


def main(descriptor: int) -> None:
    """The process's whole life; `descriptor` is its end of the channel."""
    control = socket.socket(fileno=descriptor)
    control.setblocking(False)

    async def life() -> None:
        await Ingress(control).serve()
        os._exit(0)  # whoever is still connected is cut

    with suppress(OSError, AttributeError):  # as the load itself: a busy machine delays the target, never the way to it
        os.sched_setscheduler(0, os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(1))
    try:
        import uvloop  # noqa: PLC0415 - optional
    except ImportError:
        asyncio.run(life())
    else:
        uvloop.run(life())


if __name__ == "__main__":
    main(int(sys.argv[1]))
