"""The agent: the load engine in a pod, led by a driver through the API server. `python -m lameduck.agent`

Law: it sends what it was told to, writes its own run file as any proof does, and hands it out whole. It needs no token
of the cluster, no root and no writable disk but one folder. Without a word from its driver it stops by itself.

Environment: LAMEDUCK_AGENT_TOKEN (required), LAMEDUCK_AGENT_DIR (where the run file goes, /data).
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import resource
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from hmac import compare_digest
from pathlib import Path
from typing import Any

from lameduck import __version__
from lameduck.core.errors import LameduckError
from lameduck.core.instants import SECOND
from lameduck.core.run import ClusterFacts
from lameduck.core.timeline import Observation
from lameduck.kube import wire
from lameduck.kube.listeners import Listeners
from lameduck.load.dialer import TcpDialer
from lameduck.load.engine import Engine
from lameduck.load.loops import fastest_loop
from lameduck.load.punctual import punctual
from lameduck.runfile import RunWriter, plan_as_json, plan_from_json

PIECE = 1 << 18
LONGEST_REQUEST = 64 << 20
RESOLVED_WITHIN = 3.0
FIRST_WORD = 120 * SECOND
"""How long it waits between two words before it is started (ns): other agents may not be there yet."""

Answer = tuple[int, dict[str, Any]]


class Refused(Exception):
    """A request that cannot be done now: HTTP status, and why."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


class Agent:
    """One agent's life, from its first request to `quit` or silence."""

    def __init__(self, folder: Path, token: str, clock: Callable[[], int] = time.monotonic_ns) -> None:
        self.file = folder / "run.db"
        self._token, self._clock = token, clock
        self._heard = clock()
        self._engine: Engine | None = None
        self._writer: RunWriter | None = None
        self._load: asyncio.Task[None] | None = None
        self._knocking: dict[int, Listeners] = {}
        self._early: list[Observation] = []
        """What its knocking found out before it was started."""
        self._result: dict[str, Any] | None = None
        self._error = ""
        self._over = asyncio.Event()
        self._does: Mapping[tuple[str, str], Callable[[dict[str, Any]], Awaitable[Answer]]] = {
            ("GET", "/clock"): self._tell_clock,
            ("POST", "/start"): self._start,
            ("GET", "/state"): self._state,
            ("POST", "/knock"): self._knock,
            ("POST", "/forget"): self._forget,
            ("POST", "/stop"): self._stop,
            ("GET", "/result"): self._tell_result,
            ("POST", "/quit"): self._quit,
        }

    async def live(self, port: int = wire.PORT) -> None:
        """Serve until told to quit, or until nobody has spoken for too long."""
        server = await asyncio.start_server(self._serve, "", port)
        async with server:
            while not self._over.is_set():
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(1.0):
                        await self._over.wait()
                patience = FIRST_WORD if self._load is None else int(wire.SILENCE * SECOND)
                if self._clock() - self._heard > patience:
                    sys.stderr.write(f"agent: no word from the driver for {patience // SECOND} s: stopped\n")
                    break
        if self._engine is not None:
            self._engine.stop()
        if self._load is not None:
            self._load.cancel()
            await asyncio.gather(self._load, return_exceptions=True)

    # what it is asked

    async def _tell_clock(self, _: dict[str, Any]) -> Answer:
        return 200, {"now": self._clock()}

    async def _state(self, _: dict[str, Any]) -> Answer:
        sent, failed = self._engine.counts() if self._engine is not None else (0, 0)
        phase = "waiting" if self._load is None else "done" if self._result is not None else "sending"
        return 200, {"now": self._clock(), "sent": sent, "failed": failed, "phase": phase, "error": self._error}

    async def _start(self, order: dict[str, Any]) -> Answer:
        if self._load is not None:
            raise Refused(409, "it has been started before")
        traffic = wire.unpack(plan_from_json(order["plan"]), order)
        dialer = await _resolved(order["address"], order["port"])
        part = (int(order["part"][0]), int(order["part"][1]))
        self._engine = Engine(
            traffic, dialer, host=order["host"], secrets=order["secrets"], part=part, clock=self._clock
        )
        facts = ClusterFacts("agent", order["host"], 0, 0, details={"node": os.environ.get("NODE_NAME", "")})
        notes = {
            "plan": plan_as_json(wire.bare(traffic)),
            "facts": {**_asdict(facts), "details": dict(facts.details)},
            "load_started": order["started"],
            "wall_anchor": time.time_ns(),
            "about": {"lameduck": __version__},
        }
        self._writer = RunWriter(self.file, self._engine.recording, notes)
        for seen in self._early:
            self._writer.observe(seen)
        self._load = asyncio.create_task(self._send(int(order["started"])))
        return 200, {"lameduck": __version__}

    async def _knock(self, order: dict[str, Any]) -> Answer:
        port = int(order["port"])
        if port not in self._knocking:
            self._knocking[port] = Listeners(port, self._observe, self._clock)
        knocking = self._knocking[port]
        if order["open"]:
            knocking.opening(order["pod"], order["ip"])
        else:
            knocking.closing(order["pod"], order["ip"], order.get("listened_at"))
        return 200, {}

    async def _forget(self, order: dict[str, Any]) -> Answer:
        for knocking in self._knocking.values():
            knocking.forget(order["pod"])
        return 200, {}

    async def _stop(self, _: dict[str, Any]) -> Answer:
        if self._engine is None:
            raise Refused(409, "it has not been started")
        self._engine.stop()
        return 200, {}

    async def _tell_result(self, _: dict[str, Any]) -> Answer:
        if self._result is None:
            raise Refused(409, self._error or "the run file is not whole yet")
        return 200, self._result

    async def _quit(self, _: dict[str, Any]) -> Answer:
        self._over.set()
        return 200, {}

    # what it does

    def _observe(self, seen: Observation) -> None:
        if self._writer is None:
            self._early.append(seen)
        else:
            self._writer.observe(seen)

    async def _send(self, started: int) -> None:
        engine, writer = self._engine, self._writer
        assert engine is not None
        assert writer is not None
        try:
            with punctual():
                await engine.run(bounded=False, started=started)
            for knocking in self._knocking.values():
                await knocking.close()
            writer.note("load_ended", self._clock())
            writer.note("stalls", [list(stall) for stall in engine.stalls])
            await asyncio.to_thread(writer.close)
            if writer.error:
                self._error = writer.error
                return
            self._result = await asyncio.to_thread(_sized, self.file)
        except Exception as error:  # it is told to the driver, which is the one who can say it
            self._error = f"{type(error).__name__}: {error}"
            raise

    # HTTP, as little of it as the API server's proxy needs

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError):
            await self._one(reader, writer)
        with contextlib.suppress(OSError):
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, target, _ = head[0].split(" ", 2)
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
        if not compare_digest(headers.get(wire.TOKEN.lower(), ""), self._token):
            await _answer(writer, 403, {"message": "the token is not this run's"})
            return
        self._heard = self._clock()
        size = int(headers.get("content-length") or 0)
        if size > LONGEST_REQUEST:
            await _answer(writer, 413, {"message": "too large"})
            return
        body = await reader.readexactly(size)
        if (method, target) == ("GET", "/run.db"):
            await self._hand_out(writer, headers.get("range", ""))
            return
        try:
            does = self._does.get((method, target))
            status, said = await does(json.loads(body or b"{}")) if does else (404, {"message": "nothing is there"})
        except Refused as refusal:
            status, said = refusal.status, {"message": str(refusal)}
        except (LameduckError, KeyError, ValueError, TypeError) as error:
            status, said = 422, {"message": str(error)}
        await _answer(writer, status, said)

    async def _hand_out(self, writer: asyncio.StreamWriter, wanted: str) -> None:
        if self._result is None:
            await _answer(writer, 409, {"message": "the run file is not whole yet"})
            return
        size = int(self._result["size"])
        first = int(wanted.removeprefix("bytes=").partition("-")[0] or 0) if wanted.startswith("bytes=") else 0
        status = f"206 Partial Content\r\nContent-Range: bytes {first}-{size - 1}/{size}" if first else "200 OK"
        writer.write(
            f"HTTP/1.1 {status}\r\nContent-Length: {size - first}\r\nConnection: close\r\n"
            "Content-Type: application/vnd.sqlite3\r\n\r\n".encode()
        )
        with self.file.open("rb") as file:
            file.seek(first)
            while piece := file.read(PIECE):
                writer.write(piece)
                await writer.drain()
                self._heard = self._clock()


async def _answer(writer: asyncio.StreamWriter, status: int, said: dict[str, Any]) -> None:
    data = json.dumps(said).encode()
    writer.write(
        f"HTTP/1.1 {status} .\r\nContent-Length: {len(data)}\r\nConnection: close\r\n"
        "Content-Type: application/json\r\n\r\n".encode()
        + data
    )
    await writer.drain()


async def _resolved(address: str, port: int) -> TcpDialer:
    """A name server that says nothing is told before the driver's patience is over. Raises what `resolve` does too."""
    try:
        async with asyncio.timeout(RESOLVED_WITHIN):
            return await asyncio.to_thread(TcpDialer.resolve, address, port)
    except TimeoutError:
        raise Refused(422, f"{address} was not resolved within {RESOLVED_WITHIN:g} s: see the cluster's DNS") from None


def _sized(file: Path) -> dict[str, Any]:
    with file.open("rb") as opened:
        return {"size": file.stat().st_size, "sha256": hashlib.file_digest(opened, "sha256").hexdigest()}


def _asdict(facts: ClusterFacts) -> dict[str, Any]:
    return {name: getattr(facts, name) for name in ClusterFacts.__slots__}


def main() -> int:
    """Live in a pod. Returns the process's exit code."""
    token = os.environ.get("LAMEDUCK_AGENT_TOKEN", "")
    if not token:
        sys.stderr.write("lameduck.agent is started by `lameduck prove --load-from cluster`, which gives it a token\n")
        return 2
    folder = Path(os.environ.get("LAMEDUCK_AGENT_DIR", "/data"))
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)

    async def live() -> None:
        await Agent(folder, token).live()

    with asyncio.Runner(loop_factory=fastest_loop) as runner:
        runner.run(live())
    return 0


if __name__ == "__main__":
    sys.exit(main())
