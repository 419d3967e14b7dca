"""Engines in processes of their own: one or several, each with its share of one plan.

Law: every worker walks the same arrivals from the same instant and sends each n-th of them, so that together they send
exactly the plan. The one who watches (terminal, summary) never shares a processor's turn with the one who sends. A
worker whose parent is gone stops by itself.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import resource
import signal
import ssl
import sys
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkContext, SpawnContext

from lameduck.core.errors import EnvironmentFault, LameduckError
from lameduck.core.exchange import Kind
from lameduck.core.instants import MILLISECOND
from lameduck.core.plan import TrafficPlan
from lameduck.load.dialer import Addresses, TcpDialer
from lameduck.load.engine import Engine
from lameduck.load.loops import fastest_loop
from lameduck.report.load_summary import LoadSummary, summarize

HEAD_START = 50 * MILLISECOND
"""From the word that every worker is ready to the first intended start (ns): they begin together."""

TELLING = 0.25
"""Seconds between two words of a worker."""

PATIENCE = 10.0
"""Seconds that a worker waits for the others to be ready."""

SAMPLE = 200
"""Response times in one word."""


@dataclass(frozen=True, slots=True)
class TlsOptions:
    """How to trust a server: its authority's file ("" for the system's), or not at all."""

    authority: str = ""
    insecure: bool = False
    server_name: str = ""

    def context(self) -> ssl.SSLContext:
        """The context; `EnvironmentFault` if the authority's file cannot be used."""
        try:
            context = ssl.create_default_context(cafile=self.authority or None)
        except (OSError, ssl.SSLError) as error:
            raise EnvironmentFault(f"cannot use {self.authority} as certificate authority: {error}") from None
        context.set_alpn_protocols(["http/1.1"])
        if self.insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context


@dataclass(frozen=True, slots=True)
class Job:
    """What the workers do together."""

    plan: TrafficPlan
    addresses: Addresses
    host: str
    tls: TlsOptions | None = None
    secrets: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Word:
    """What a worker says while it runs: counts since its last word."""

    planned: int = 0
    settled: int = 0
    kinds: Counter[Kind] = field(default_factory=Counter)
    times: list[int] = field(default_factory=list)
    """Some response times (ns)."""
    in_flight: int = 0
    stalls: int = 0


class Crew:
    """The workers of one job. `words` yields what they say until all have ended; then `summary` is whole.

    The arrivals count from `started`. Raises what a worker died of before it was ready.
    """

    def __init__(self, job: Job, workers: int = 1) -> None:
        self.summary = LoadSummary()
        spawn = _context()
        self._pipes: dict[Connection, multiprocessing.process.BaseProcess] = {}
        for part in range(workers):
            ours, theirs = spawn.Pipe(duplex=True)
            process = spawn.Process(target=_work, args=(job, (part, workers), theirs), daemon=True)
            process.start()
            theirs.close()
            self._pipes[ours] = process
        for pipe in list(self._pipes):
            self._hear(pipe)
        self.started = time.monotonic_ns() + HEAD_START
        for pipe in self._pipes:
            pipe.send(self.started)

    def words(self, patience: float = TELLING) -> Iterator[Word | None]:
        """What the workers say, None when nobody has for a while. Raises what a worker has died of."""
        while self._pipes:
            ready = wait(list(self._pipes), patience)
            for pipe in ready:
                assert isinstance(pipe, Connection)
                word = self._hear(pipe)
                if word is not None:
                    yield word
            if not ready:
                yield None

    def stop(self) -> None:
        """No request becomes due any more; what is in flight may end."""
        for pipe in self._pipes:
            with suppress(OSError):
                pipe.send("stop")

    def kill(self) -> None:
        """End the workers at once; what they recorded is lost."""
        for process in self._pipes.values():
            process.kill()
            process.join()

    def _hear(self, pipe: Connection) -> Word | None:
        try:
            said = pipe.recv()
        except (EOFError, OSError):
            said = EnvironmentFault("a worker process was killed: its part of the load is lost")
        if isinstance(said, Word):
            return said
        process = self._pipes.pop(pipe)
        if isinstance(said, BaseException):
            self.kill()
            raise said
        self.summary.add(said)
        process.join()
        return None


def _context() -> ForkContext | SpawnContext:
    """How processes are started: by fork on Linux, which takes milliseconds (this process has one thread)."""
    return multiprocessing.get_context("fork") if sys.platform == "linux" else multiprocessing.get_context("spawn")


def _work(job: Job, part: tuple[int, int], pipe: Connection) -> None:
    """The life of a worker process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the whole group: the parent decides
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    try:
        pipe.send(_drive(job, part, pipe))
    except (BrokenPipeError, ConnectionResetError, EOFError):
        pass
    except LameduckError as error:
        pipe.send(error)
    except Exception as error:
        pipe.send(RuntimeError("a worker failed:\n" + "".join(traceback.format_exception(error))))


def _drive(job: Job, part: tuple[int, int], pipe: Connection) -> LoadSummary:
    engine = Engine(
        job.plan,
        TcpDialer(job.addresses),
        host=job.host,
        tls=job.tls.context() if job.tls else None,
        server_name=job.tls.server_name if job.tls else "",
        secrets=job.secrets,
        part=part,
    )

    pipe.send(Word())
    if not pipe.poll(PATIENCE):  # the parent was killed meanwhile; a forked child would never see the pipe's end
        raise EOFError
    started: int = pipe.recv()

    async def main() -> None:
        telling = asyncio.create_task(_tell(engine, pipe))
        asyncio.get_running_loop().add_reader(pipe.fileno(), _told, engine, pipe)
        try:
            await engine.run(started=started)
        finally:
            telling.cancel()

    with asyncio.Runner(loop_factory=fastest_loop) as runner:
        runner.run(main())
    return summarize(engine.recording, engine.watch.stalls, started, engine.watch.ended)


def _told(engine: Engine, pipe: Connection) -> None:
    """The parent says "stop", or is gone."""
    asyncio.get_running_loop().remove_reader(pipe.fileno())
    with suppress(EOFError, OSError):
        pipe.recv()
    engine.stop()


async def _tell(engine: Engine, pipe: Connection) -> None:
    """Say now and then how it goes, until the parent is gone."""
    parent, recording, told, stalls = os.getppid(), engine.recording, 0, 0
    planned = 0
    while os.getppid() == parent:
        await asyncio.sleep(TELLING)
        rows = recording.settled[told:]
        failures = Counter(recording.failure[seq] for seq in rows)
        word = Word(
            planned=len(recording) - planned,
            settled=len(rows),
            kinds=Counter(),
            times=[recording.finished[seq] - recording.intended_start[seq] for seq in rows[-SAMPLE:]],
            in_flight=engine.in_flight(),
            stalls=len(engine.watch.stalls) - stalls,
        )
        for number, count in failures.items():
            if failure := recording.failures[number]:
                word.kinds[failure.kind] += count
        told, planned, stalls = told + len(rows), planned + word.planned, stalls + word.stalls
        with suppress(OSError):
            pipe.send(word)
    engine.stop()
