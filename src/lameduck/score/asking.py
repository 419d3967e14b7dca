"""Which questions are asked, in which order and how often; `questions` has each, `streams` those of HTTP/2 alone.

Law: a question that cannot be asked says why; it is never answered by a guess. Every question is asked at least once
before any is asked again, so that the time there is goes first to knowing everything and then to knowing it twice.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable

from lameduck.core.errors import EnvironmentFault, UsageError
from lameduck.core.shutdown import GOOD, Letter, Observed, Protocol, Question
from lameduck.score import questions, streams
from lameduck.score.questions import PATIENCE, Notes
from lameduck.score.request import Request
from lameduck.score.server import Late, Server, Subject, isolation

AT_ONCE = 3
TRIES = 3
"""How often a question is asked that this machine was too busy to ask in time."""
RUNS = 3
"""So often what may be a race is asked, if there is time: what every other run shows, three hide one time in eight."""
LEAST_ROUND = 2.5
"""Seconds; what some questions at once are taken for before one has been seen."""
Ask = Callable[[Server, Notes], Awaitable[None]]
LEAST_SLOW = 0.5
"""The signal comes 0.3 s after the request: what takes less, in seconds, is not in flight then."""
IDLE_LEFT = "idle kept-alive connection"


async def ask_all(subject: Subject, budget: float, told: Callable[[str], None]) -> Observed:
    """Ask everything, some at once, again while `budget` seconds last. Raises `EnvironmentFault`, `UsageError`."""
    notes, began = Notes(), time.monotonic()
    bare = asyncio.create_task(_bare(subject, notes))  # another: slow requests may make the end of the first longer
    try:
        async with Server(subject) as server:
            notes.keep_alive = await _keeps_alive(server)
            if subject.slow:
                await _is_slow(server, subject.slow)
    except BaseException:
        bare.cancel()
        await asyncio.gather(bare, return_exceptions=True)
        raise
    took = max(await bare, LEAST_ROUND)
    first, again = _questions(subject, notes)
    await _together(subject, notes, first, told)
    for at in range(0, len(again) * (RUNS - 1), AT_ONCE):
        since = time.monotonic()
        if since - began + took > budget:
            break
        await _together(subject, notes, (again * (RUNS - 1))[at : at + AT_ONCE], told)
        took = time.monotonic() - since
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
        protocol=subject.protocol,
        busy_goaways=notes.busy_goaways,
        health=notes.health,
    )


async def _bare(subject: Subject, notes: Notes) -> float:
    """The end of a server that nobody has asked for anything; how long its start and end took, in seconds."""
    began = time.monotonic()
    async with Server(subject) as server:
        server.tell()
        notes.bare.append(await server.end(PATIENCE))
    return time.monotonic() - began


def _questions(subject: Subject, notes: Notes) -> tuple[list[tuple[str, Ask]], list[tuple[str, Ask]]]:
    """Everything that can be asked; and what is worth asking again, since it may be a race."""
    slow: dict[str, Ask] = {Question.IN_FLIGHT: questions.in_flight, Question.SIX_SLOW: questions.six_slow}
    raced: dict[str, Ask] = {
        Question.NEW: questions.new,
        Question.QUEUE: questions.queue,
        Question.HALF: questions.half,
    }
    busy: dict[str, Ask] = {Question.NEW_BUSY: questions.new_busy}
    rest: dict[str, Ask] = {"load balancer": questions.load_balancer}
    if notes.keep_alive:
        raced[Question.IDLE] = questions.idle_used
        busy[Question.IDLE_BUSY] = questions.idle_used_busy
        rest[IDLE_LEFT] = questions.idle_left
    if notes.keep_alive and subject.protocol is not Protocol.HTTP_1:
        raced[Question.LATE] = streams.late
        busy |= {Question.IDLE_BUSY: streams.shared, Question.LATE_BUSY: streams.late_shared}
    if subject.protocol is Protocol.GRPC:
        rest[streams.WATCHING] = streams.health
    if not subject.slow:
        why = f"say --slow {'METHOD' if subject.protocol is Protocol.GRPC else 'PATH'}, a request of about a second"
        notes.not_asked |= dict.fromkeys((*slow, *busy), why)
        slow, busy = {}, {}
    if isolation() is None:
        notes.not_asked[Question.PID_1.value] = "this user may not make a PID namespace"
    else:
        rest[Question.PID_1] = questions.as_pid_1
    again = [*raced.items(), *busy.items(), *list(slow.items())[:1]]
    return [*slow.items(), *rest.items(), *raced.items(), *busy.items()], again


async def _together(subject: Subject, notes: Notes, asks: list[tuple[str, Ask]], told: Callable[[str], None]) -> None:
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(name: str, ask: Ask) -> None:
        async with gate:
            told(name)
            below = isolation() if ask is questions.as_pid_1 else None
            try:
                await ask_in_time(subject, ask, notes, below)
            except (EnvironmentFault, UsageError) as error:
                if name not in notes.runs:
                    notes.not_asked[name] = str(error)

    await asyncio.gather(*(one(name, ask) for name, ask in asks))


async def ask_in_time(subject: Subject, ask: Ask, notes: Notes, below: list[str] | None = None) -> None:
    """One question, and again where it came too late. Raises `Late` when it did so each time."""
    for left in reversed(range(TRIES)):
        try:
            async with Server(subject, below) as server:
                await ask(server, notes)
        except Late:
            if not left:
                raise
        else:
            return


async def _is_slow(server: Server, slow: Request) -> None:
    """Raises `UsageError` for a request that is not in flight when the signal comes, or fails without any."""
    began = time.monotonic()
    letter = await server.once(slow, PATIENCE)
    took = time.monotonic() - began
    if letter not in GOOD:
        silent = f"no answer in {PATIENCE:.0f} s" if letter is Letter.SILENT else ""
        said = server.why or silent or f"its answer is '{letter.value}'"
        raise UsageError(f"--slow {slow.path} fails without any stop signal ({said}); does it need --slow-body?")
    if took < LEAST_SLOW:
        told = f"--slow {slow.path} is answered after {took * 1000:.0f} ms"
        raise UsageError(f"{told}: what is asked needs about a second, {LEAST_SLOW:g} s at least")


async def _keeps_alive(server: Server) -> bool:
    client = await questions.opened(server)
    letter = await client.ask(server.subject.fast, look=False)
    await asyncio.sleep(0.05)
    kept = letter is Letter.ANSWERED and not client.gone()
    client.close()
    return kept
