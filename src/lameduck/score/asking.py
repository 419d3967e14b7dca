"""The questions: each one starts a server, sends the stop signal, and looks at what its clients see.

Law: a question that cannot be asked says why; it is never answered by a guess. Every question is asked at least once
before any is asked again, so that the time there is goes first to knowing everything and then to knowing it twice.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from lameduck.core.errors import EnvironmentFault, UsageError
from lameduck.core.shutdown import GOOD, OFFSETS_MS, Exit, IdleClose, Letter, Lost, Observed, Question
from lameduck.score.client import Client, once
from lameduck.score.server import Server, Subject, isolation

PATIENCE = 6.0
"""How long after the signal an end is waited for, in seconds."""
LAG = 1.0
"""How long a load balancer goes on sending, in seconds: as long as kube-proxy may (docs/verdict.md, lag)."""
AT_ONCE = 3


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

    def note(self, question: Question, letters: list[Letter]) -> None:
        """One more run."""
        self.runs.setdefault(question, []).append("".join(letters))


Ask = Callable[[Server, Notes], Awaitable[None]]


async def ask_all(subject: Subject, budget: float, told: Callable[[str], None]) -> Observed:
    """Ask everything, some at once, again while `budget` seconds last. Raises `EnvironmentFault`, `UsageError`."""
    notes, began = Notes(), time.monotonic()
    async with Server(subject) as server:
        notes.keep_alive = await _keeps_alive(server)
        server.tell()
        notes.bare.append(await server.end(PATIENCE))
    took = time.monotonic() - began
    first, again = _questions(subject, notes)
    await _together(subject, notes, first, told)
    for ask in again * 2:
        round_took = max(took, 2.5)
        if time.monotonic() - began + round_took > budget:
            break
        await _together(subject, notes, [ask], told)
    return Observed(
        command=subject.command,
        signal=signal.Signals(subject.signal).name,
        keep_alive=notes.keep_alive,
        runs={question: tuple(notes.runs[question]) for question in Question if question in notes.runs},
        bare=tuple(notes.bare),
        busy=tuple(notes.busy),
        idle=notes.idle,
        pid_1=notes.pid_1,
        lost=notes.lost,
        deaf=notes.deaf,
        not_asked=notes.not_asked,
        seconds=time.monotonic() - began,
    )


def _questions(subject: Subject, notes: Notes) -> tuple[list[tuple[str, Ask]], list[tuple[str, Ask]]]:
    """Everything that can be asked; and what is worth asking again, since it may be a race."""
    slow: list[tuple[str, Ask]] = [("requests in flight", in_flight), ("six slow requests", six_slow)]
    raced: list[tuple[str, Ask]] = [("new connections", new), ("accept queue", queue), ("half a request", half)]
    if notes.keep_alive:
        raced.append(("idle connections", idle_used))
    busy: list[tuple[str, Ask]] = [("new connections, draining", new_busy)]
    if notes.keep_alive:
        busy.append(("idle connections, draining", idle_used_busy))
    if not subject.slow:
        why = "say --slow PATH, a request that takes about a second"
        for question in (Question.IN_FLIGHT, Question.SIX_SLOW, Question.NEW_BUSY, Question.IDLE_BUSY):
            notes.not_asked[question.value] = why
        slow = busy = []
    below = isolation()
    rest: list[tuple[str, Ask]] = [("a load balancer's second", load_balancer)]
    if notes.keep_alive:
        rest.append(("an idle connection left open", idle_left))
    if below is None:
        notes.not_asked[Question.PID_1.value] = "this user may not make a PID namespace"
    else:
        rest.append(("as PID 1", as_pid_1))
    return [*slow, *rest, *raced, *busy], [*raced, *busy, *slow[:1]]


async def _together(subject: Subject, notes: Notes, asks: list[tuple[str, Ask]], told: Callable[[str], None]) -> None:
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(name: str, ask: Ask) -> None:
        async with gate:
            told(name)
            below = isolation() if ask is as_pid_1 else None
            try:
                async with Server(subject, below) as server:
                    await ask(server, notes)
            except (EnvironmentFault, UsageError) as error:
                notes.not_asked[name] = str(error)

    await asyncio.gather(*(one(name, ask) for name, ask in asks))


async def _keeps_alive(server: Server) -> bool:
    client = Client(server.port)
    await client.connect()
    letter = await client.ask(server.subject.fast, look=False)
    await asyncio.sleep(0.05)
    kept = letter is Letter.ANSWERED and not client.gone()
    client.close()
    return kept


async def _pool(server: Server, size: int) -> list[Client]:
    clients = []
    for _ in range(size):
        client = Client(server.port)
        await client.connect()
        await client.ask(server.subject.fast, look=False)
        clients.append(client)
    await asyncio.sleep(0.2)
    return clients


async def in_flight(server: Server, notes: Notes) -> None:
    """One slow request, 0.3 s old."""
    slow = asyncio.create_task(once(server.port, server.subject.slow, PATIENCE))
    await asyncio.sleep(0.3)
    server.tell()
    notes.note(Question.IN_FLIGHT, [await slow])
    notes.busy.append(await server.end(PATIENCE))


async def six_slow(server: Server, notes: Notes) -> None:
    """Six slow requests at once: more than a small pool of workers holds."""
    slow = []
    for _ in range(6):
        slow.append(asyncio.create_task(once(server.port, server.subject.slow, PATIENCE + 3)))
        await asyncio.sleep(0.005)
    await asyncio.sleep(0.27)
    server.tell()
    notes.note(Question.SIX_SLOW, await asyncio.gather(*slow))


async def _new(server: Server, question: Question, notes: Notes, busy: bool) -> None:
    slow = asyncio.create_task(once(server.port, server.subject.slow, PATIENCE)) if busy else None
    await asyncio.sleep(0.1 if busy else 0)
    server.tell()

    async def one(offset: int) -> Letter:
        await server.at(offset)
        return await once(server.port, server.subject.fast)

    notes.note(question, await asyncio.gather(*(one(offset) for offset in OFFSETS_MS)))
    if slow is not None:
        await slow


async def new(server: Server, notes: Notes) -> None:
    """New connections, at several moments after the signal."""
    await _new(server, Question.NEW, notes, busy=False)


async def new_busy(server: Server, notes: Notes) -> None:
    """The same while a slow request keeps it in its drain."""
    await _new(server, Question.NEW_BUSY, notes, busy=True)


async def _idle_used(server: Server, question: Question, notes: Notes, busy: bool) -> None:
    clients = await _pool(server, len(OFFSETS_MS))
    slow = asyncio.create_task(once(server.port, server.subject.slow, PATIENCE)) if busy else None
    await asyncio.sleep(0.1 if busy else 0)
    server.tell()

    async def one(client: Client, offset: int) -> Letter:
        await server.at(offset)
        return await client.ask(server.subject.fast)

    notes.note(question, await asyncio.gather(*map(one, clients, OFFSETS_MS)))
    if slow is not None:
        await slow
    for client in clients:
        client.close()


async def idle_used(server: Server, notes: Notes) -> None:
    """Idle connections, each used once at a moment after the signal."""
    await _idle_used(server, Question.IDLE, notes, busy=False)


async def idle_used_busy(server: Server, notes: Notes) -> None:
    """The same while a slow request keeps it in its drain."""
    await _idle_used(server, Question.IDLE_BUSY, notes, busy=True)


async def half(server: Server, notes: Notes) -> None:
    """Connected and silent, and half way through the head, at the signal; the rest 50 ms after it."""
    silent, begun = Client(server.port), Client(server.port)
    await silent.connect()
    await begun.connect()
    head = server.subject.fast
    await begun.send(head[:-4])
    await asyncio.sleep(0.2)
    server.tell()
    await server.at(50)
    letters = []
    for client, data in ((silent, head), (begun, head[-4:])):
        letters.append(await client.ask(data, 3))
        client.close()
    notes.note(Question.HALF, letters)


async def queue(server: Server, notes: Notes) -> None:
    """Five requests that the kernel has taken and the server, stopped for a moment, has not."""
    family = server.family()
    for pid in family:
        os.kill(pid, signal.SIGSTOP)
    await asyncio.sleep(0.05)
    clients = [Client(server.port) for _ in range(5)]
    for client in clients:
        if await client.connect() is None:
            await client.send(server.subject.fast)
    server.tell()
    for pid in family:
        os.kill(pid, signal.SIGCONT)
    letters = await asyncio.gather(*(c.answer(4) if c.socket else _letter(Letter.REFUSED) for c in clients))
    notes.note(Question.QUEUE, letters)
    for client in clients:
        client.close()


async def _letter(letter: Letter) -> Letter:
    return letter


async def idle_left(server: Server, notes: Notes) -> None:
    """An idle connection that its client never closes: when does the server, and does it hold up the end?"""
    (client,) = await _pool(server, 1)
    server.tell()
    how = await client.until_closed(PATIENCE)
    after = time.monotonic_ns() - server.signalled
    notes.idle = IdleClose(how, after, await server.end(PATIENCE + 0.5))
    client.close()


async def as_pid_1(server: Server, notes: Notes) -> None:
    """The signal where it is PID 1 of a namespace: one without a handler is dropped there."""
    server.tell()
    notes.pid_1 = await server.end(PATIENCE)
    if notes.pid_1.code is None:
        notes.deaf = await once(server.port, server.subject.fast, 1) in GOOD


async def load_balancer(server: Server, notes: Notes) -> None:
    """40 new connections a second and 16 pooled ones, which go on for a second after the signal."""
    counts = {"new": [0, 0], "pooled": [0, 0]}
    announced = False
    stop = asyncio.Event()

    def count(lane: str, letter: Letter) -> None:
        nonlocal announced
        if server.signalled:
            counts[lane][0] += 1
            counts[lane][1] += letter not in (Letter.ANSWERED, Letter.LAST)
            announced = announced or letter is Letter.LAST

    async def fresh() -> None:
        count("new", await once(server.port, server.subject.fast, 3))

    async def pooled(number: int) -> None:
        await asyncio.sleep(number / 160)
        client = Client(server.port)
        while not stop.is_set():
            if client.gone():
                client.close()
                failed = await client.connect()
                if failed is not None:
                    count("pooled", failed)
                    await asyncio.sleep(0.1)
                    continue
            count("pooled", await client.ask(server.subject.fast, 3))
            await asyncio.sleep(0.1)
        client.close()

    tasks = [asyncio.create_task(pooled(number)) for number in range(16)]
    for tick in range(int((1 + LAG) * 40)):
        if tick == 40:
            server.tell()
        tasks.append(asyncio.create_task(fresh()))
        await asyncio.sleep(1 / 40)
    stop.set()
    await asyncio.gather(*tasks)
    notes.lost = Lost(counts["new"][0], counts["new"][1], counts["pooled"][0], counts["pooled"][1], announced)
