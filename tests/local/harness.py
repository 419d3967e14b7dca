"""A local cluster under test: brisk, watched, and always stopped."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from lameduck.core.instants import MILLISECOND, SECOND
from lameduck.core.timeline import Event, Milestone, Observation, PodHistory, fold
from lameduck.local.cluster import LocalCluster
from lameduck.local.spec import LocalSpec, Timings

SERVER = str(Path(__file__).parent / "servers" / "server.py")
BRISK = Timings(
    relist=False,
    status=(900, 950, 1000),
    start=(1, 1, 1),
    probe_phase=(30, 50, 80),
    controller=(1, 2, 3),
)

LATE = 2_000
"""Milliseconds: so much later than meant may something be on a machine that stands still for a second now and then."""

MODES = ("sandbox", "host", "emulated")
"""Own namespaces; own PID namespace in this machine's network; bare processes."""


def server(behaviour: str, *more: str) -> tuple[str, ...]:
    """The server with this known behaviour."""
    return (sys.executable, SERVER, behaviour, *more)


class Watched:
    """A cluster and everything it observed."""

    def __init__(self, folder: Path, *command: str, mode: str = "sandbox", **spec: Any) -> None:
        asked = {
            "command": command or server("drains"),
            "replicas": 1,
            "timings": BRISK,
            "grace": 20 * SECOND,
            "min_sync": 50 * MILLISECOND,
            "network": "host" if mode == "host" else "sandbox",
            "run_dir": folder,
            "start_deadline": 20 * SECOND,
        }
        self.seen: list[Observation] = []
        self._waiting: list[tuple[Callable[[Observation], bool], asyncio.Future[Observation]]] = []
        self.cluster = LocalCluster(LocalSpec(**{**asked, **spec}), self._observe)
        self.mode = mode

    def _observe(self, seen: Observation) -> None:
        self.seen.append(seen)
        for wanted, future in self._waiting:
            if wanted(seen) and not future.done():
                future.set_result(seen)

    async def until(self, what: Milestone | Event, subject: str = "") -> Observation:
        """The first observation of this, already made or to come."""

        def wanted(seen: Observation) -> bool:
            return seen.what is what and subject in {"", seen.subject}

        for seen in self.seen:
            if wanted(seen):
                return seen
        future: asyncio.Future[Observation] = asyncio.get_running_loop().create_future()
        self._waiting.append((wanted, future))
        async with asyncio.timeout(20):
            return await future

    def pods(self) -> dict[str, PodHistory]:
        """Every pod's history."""
        return fold(self.seen)

    def old(self) -> list[PodHistory]:
        """The pods that were told to go."""
        return [pod for pod in self.pods().values() if pod.terminated]


@asynccontextmanager
async def lateness() -> AsyncIterator[Callable[[], float]]:
    """How late (ms) this process's event loop was at its latest since it was entered."""
    loop, late = asyncio.get_running_loop(), 0.0

    async def watch() -> None:
        nonlocal late
        while True:
            due = loop.time() + 0.01
            await asyncio.sleep(0.01)
            late = max(late, (loop.time() - due) * 1_000)

    watching = asyncio.create_task(watch())
    try:
        yield lambda: late
    finally:
        watching.cancel()


def play(scene: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a test's coroutine."""

    async def bounded() -> None:
        async with asyncio.timeout(60):
            await scene()

    asyncio.run(bounded())


@asynccontextmanager
async def running(folder: Path, *command: str, **spec: Any) -> AsyncIterator[Watched]:
    """A cluster that is up, and down afterwards."""
    mode = spec.get("mode", "sandbox")
    before = os.environ.get("LAMEDUCK_SANDBOX")
    os.environ["LAMEDUCK_SANDBOX"] = "off" if mode == "emulated" else ""
    watched = Watched(folder, *command, **spec)
    try:
        await watched.cluster.start()
        yield watched
    finally:
        await watched.cluster.stop()
        os.environ["LAMEDUCK_SANDBOX"] = before or ""


def output(folder: Path, pod: str = "") -> str:
    """What the pods printed."""
    return "".join(file.read_text() for file in sorted(folder.glob(f"{pod or '*'}.log")))


async def ask(watched: Watched, path: str = "/", timeout: float = 5) -> bytes:
    """One request on a new connection through the node's table; b"" if it was closed without an answer.

    Raises `OSError` as the kernel says it, `TimeoutError` for silence.
    """
    loop = asyncio.get_running_loop()
    route = watched.cluster.dialer().dial()
    if route.socket is None:
        raise ConnectionRefusedError("no usable endpoint")
    with route.socket as connection:
        async with asyncio.timeout(timeout):
            await loop.sock_connect(connection, route.address)
        await loop.sock_sendall(connection, f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        async with asyncio.timeout(timeout):
            return await loop.sock_recv(connection, 4096)
