"""Each question: what is done to a server that has just started, how it is told to stop, and what its clients saw.

Law: a question notes letters and times, and judges nothing.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Awaitable
from contextlib import suppress
from dataclasses import dataclass, field, replace

from lameduck.core.errors import EnvironmentFault
from lameduck.core.shutdown import (
    AGAIN,
    GOOD,
    OFFSETS_MS,
    Exit,
    Goaway,
    Health,
    IdleClose,
    Letter,
    Lost,
    Protocol,
    Question,
)
from lameduck.score.client import Client
from lameduck.score.http2 import Http2Client
from lameduck.score.request import Request
from lameduck.score.server import Server

AnyClient = Client | Http2Client
PATIENCE = 6.0
"""How long after the signal an end is waited for, in seconds."""
KEPT = 16.0
"""The same where a client may keep its connection, which some servers wait for; seconds."""
LAG = 1.0
"""How long a load balancer goes on sending, in seconds: as long as kube-proxy may (docs/verdict.md, lag)."""
LOADS = ((40, 16), (10, 4))
"""New connections a second, and pooled ones; the second for servers that do not keep up with the first."""
BEHIND = 0.8
"""Who has not answered for so long before the signal does not keep up; seconds."""


@dataclass(slots=True)
class Notes:
    """What has been seen so far."""

    runs: dict[Question, list[str]] = field(default_factory=dict)
    bare: list[Exit] = field(default_factory=list)
    busy: list[Exit] = field(default_factory=list)
    idle: IdleClose | None = None
    pid_1: Exit | None = None
    deaf: bool = False
    lost: Lost | None = None
    keep_alive: bool = True
    not_asked: dict[str, str] = field(default_factory=dict)
    busy_goaways: tuple[Goaway, ...] = ()
    health: tuple[Health, ...] | None = None

    def note(self, question: Question, letters: list[Letter]) -> None:
        """One more run."""
        self.runs.setdefault(question, []).append("".join(letters))


def slow_of(server: Server) -> Request:
    """What takes a second; asked for only where there is such a thing."""
    assert server.subject.slow is not None
    return server.subject.slow


async def opened(server: Server) -> AnyClient:
    """A connection, before the signal. Raises `EnvironmentFault` where there is none: the question cannot be asked."""
    client = server.client()
    failed = await client.connect()
    if failed is not None:
        raise EnvironmentFault(f"it took no connection before the signal ('{failed.value}')")
    return client


async def pool(server: Server, size: int) -> list[AnyClient]:
    """So many connections that have had one request each, idle now."""
    clients: list[AnyClient] = []
    for _ in range(size):
        client = await opened(server)
        letter = await client.ask(server.subject.fast, look=False)
        if letter not in GOOD:
            raise EnvironmentFault(f"a request before the signal failed ('{letter.value}')")
        clients.append(client)
    await asyncio.sleep(0.2)
    return clients


async def in_flight(server: Server, notes: Notes) -> None:
    """One slow request, 0.3 s old; its client keeps the connection until it is told to leave, or the server closes."""
    client = await opened(server)
    slow = asyncio.create_task(client.ask(slow_of(server), PATIENCE, look=False))
    await server.pause(0.3)
    server.tell()
    letter = await slow
    server.in_time()
    notes.note(Question.IN_FLIGHT, [letter])
    if not client.gone():
        await client.until_closed(KEPT)
    client.close()
    notes.busy.append(await server.end(KEPT))
    notes.busy_goaways = dated(server, client.goaways)


def dated(server: Server, goaways: list[Goaway]) -> tuple[Goaway, ...]:
    """Those that came after the signal, by the time since."""
    return tuple(replace(x, after=x.after - server.signalled) for x in goaways if x.after >= server.signalled)


async def six_slow(server: Server, notes: Notes) -> None:
    """Six slow requests at once: more than a small pool of workers holds."""
    shared = server.subject.protocol is not Protocol.HTTP_1
    one = await opened(server) if shared else server.client()
    slow = []
    for _ in range(6):
        request = slow_of(server)
        asked = one.ask(request, PATIENCE + 3, look=False) if shared else server.once(request, PATIENCE + 3)
        slow.append(asyncio.create_task(asked))
        await server.pause(0.005)
    await server.pause(0.27)
    server.tell()
    letters = await asyncio.gather(*slow)
    one.close()
    server.in_time()
    notes.note(Question.SIX_SLOW, letters)


async def _new(server: Server, question: Question, notes: Notes, busy: bool) -> None:
    slow = asyncio.create_task(server.once(slow_of(server), PATIENCE)) if busy else None
    await server.pause(0.1 if busy else 0)
    server.tell()

    async def one(offset: int) -> Letter:
        await server.at(offset)
        return await server.once(server.subject.fast)

    letters = await asyncio.gather(*(one(offset) for offset in OFFSETS_MS))
    if slow is not None:
        await slow
    server.in_time()
    notes.note(question, letters)


async def new(server: Server, notes: Notes) -> None:
    """New connections, at several moments after the signal."""
    await _new(server, Question.NEW, notes, busy=False)


async def new_busy(server: Server, notes: Notes) -> None:
    """The same while a slow request keeps it in its drain."""
    await _new(server, Question.NEW_BUSY, notes, busy=True)


async def idle_used(server: Server, notes: Notes) -> None:
    """Idle connections, each used once at a moment after the signal."""
    await use(server, Question.IDLE, notes, await pool(server, len(OFFSETS_MS)))


async def idle_used_busy(server: Server, notes: Notes) -> None:
    """The same while a slow request keeps it in its drain."""
    clients = await pool(server, len(OFFSETS_MS))
    slow = asyncio.create_task(server.once(slow_of(server), PATIENCE))
    await server.pause(0.1)
    await use(server, Question.IDLE_BUSY, notes, clients)
    await slow


async def use(server: Server, question: Question, notes: Notes, clients: list[AnyClient], *, look: bool = True) -> None:
    """Tell it to stop, and use each connection at its moment after that."""
    server.tell()

    async def one(client: AnyClient, offset: int) -> Letter:
        await server.at(offset)
        return await client.ask(server.subject.fast, look=look)

    letters = await asyncio.gather(*map(one, clients, OFFSETS_MS))
    for client in clients:
        client.close()
    server.in_time()
    notes.note(question, letters)


async def half(server: Server, notes: Notes) -> None:
    """Connected and silent, and a request without its end, at the signal; the rest 50 ms after it."""
    silent, begun = await opened(server), await opened(server)
    await begun.send(server.subject.fast, whole=False)
    await asyncio.sleep(0.2)
    server.tell()
    await server.at(50)
    letters = [await silent.ask(server.subject.fast, 3), await begun.finish(3)]
    silent.close()
    begun.close()
    server.in_time()
    notes.note(Question.HALF, letters)


async def queue(server: Server, notes: Notes) -> None:
    """Five requests that the kernel has taken and the server, stopped for a moment, has not."""
    family = server.family()
    for pid in family:
        os.kill(pid, signal.SIGSTOP)
    await asyncio.sleep(0.05)
    asked = [asyncio.create_task(server.once(server.subject.fast)) for _ in range(5)]
    await asyncio.sleep(0.05)
    server.tell()
    for pid in family:
        with suppress(ProcessLookupError):  # it ended with one of those before it
            os.kill(pid, signal.SIGCONT)
    notes.note(Question.QUEUE, await asyncio.gather(*asked))


async def idle_left(server: Server, notes: Notes) -> None:
    """An idle connection that its client never closes: when does the server, and does it hold up the end?"""
    (client,) = await pool(server, 1)
    server.tell()
    how = await client.until_closed(PATIENCE)
    after = time.monotonic_ns() - server.signalled
    if client.goaways:
        client.close()
    end = await server.end(PATIENCE + 0.5)
    notes.idle = IdleClose(how, after, end, dated(server, client.goaways))
    client.close()


async def as_pid_1(server: Server, notes: Notes) -> None:
    """The signal where it is PID 1 of a namespace: one without a handler is dropped there."""
    server.tell()
    notes.pid_1 = await server.end(PATIENCE)
    if notes.pid_1.code is None:
        notes.deaf = await server.once(server.subject.fast, 1) in GOOD


async def load_balancer(server: Server, notes: Notes) -> None:
    """New connections and pooled ones, which go on for a second after the signal; fewer, where it does not keep up with
    so many before it. Raises `EnvironmentFault` if it keeps up with none: what is lost then has another cause."""
    for rate, size in LOADS:
        load = _Load(server)
        tasks = [asyncio.create_task(load.pooled(number / (10 * size))) for number in range(size)]
        for _ in range(rate):
            tasks.append(asyncio.create_task(load.fresh()))
            await server.pause(1 / rate)
        if load.kept_up():
            server.late = 0.0  # before the signal nothing is asked
            server.tell()
            for tick in range(1, int(LAG * rate) + 1):
                tasks.append(asyncio.create_task(load.fresh()))
                await server.at(tick * 1000 / rate)
            load.stop = True
            await asyncio.gather(*tasks)
            server.in_time()
            (new_sent, new_lost), (sent, lost) = load.counts["new"], load.counts["pooled"]
            notes.lost = Lost(new_sent, new_lost, sent, lost, load.announced)
            return
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        server.in_time()  # it may be this machine that did not keep up
    raise EnvironmentFault(f"it does not keep up with {rate} new connections a second and {size} pooled ones")


class _Load:
    """What a load balancer does, and what becomes of it: sent and failed after the signal, by lane."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.counts = {"new": [0, 0], "pooled": [0, 0]}
        self.announced = self.stop = self.failed_before = False
        self.in_hand: dict[object, float] = {}

    def kept_up(self) -> bool:
        """Whether, just before the signal, everything has been answered, and in time."""
        return not self.failed_before and all(time.monotonic() - sent < BEHIND for sent in self.in_hand.values())

    async def fresh(self) -> None:
        """One request on a new connection."""
        await self._count("new", self.server.once(self.server.subject.fast, 3))

    async def pooled(self, wait: float) -> None:
        """A kept-alive connection, used ten times a second, and another one when it is gone."""
        await asyncio.sleep(wait)
        client = self.server.client()
        try:
            again = False
            while not self.stop or again:
                self.announced = self.announced or bool(client.goaways)
                if client.gone() or again:
                    client.close()
                    client, again = self.server.client(), False
                    failed = await client.connect()
                    if failed is not None:
                        self._note("pooled", failed)
                        await asyncio.sleep(0.1)
                        continue
                # not begun: at once and elsewhere, as clients of HTTP/2 may
                again = await self._count("pooled", client.ask(self.server.subject.fast, 3)) in AGAIN
                if not again:
                    await asyncio.sleep(0.1)
        finally:
            client.close()

    async def _count(self, lane: str, asked: Awaitable[Letter]) -> Letter:
        mark = object()
        self.in_hand[mark] = time.monotonic()
        letter = await asked
        del self.in_hand[mark]
        if letter not in AGAIN or lane == "new":
            self._note(lane, letter)
        return letter

    def _note(self, lane: str, letter: Letter) -> None:
        if not self.server.signalled:
            self.failed_before = self.failed_before or letter not in GOOD
            return
        self.counts[lane][0] += 1
        self.counts[lane][1] += letter not in GOOD
        self.announced = self.announced or letter is Letter.LAST
