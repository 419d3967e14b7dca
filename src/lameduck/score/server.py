"""The server under test as a process: started on a free port, signalled, watched until it ends, and cleared away.

Law: the signal goes to the main process alone, as a kubelet's does; nothing that it started outlives the question.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Self

from lameduck.core.errors import EnvironmentFault, UsageError
from lameduck.core.instants import SECOND
from lameduck.core.shutdown import GOOD, Exit, Letter, Protocol
from lameduck.score.client import HOST, Client
from lameduck.score.http2 import Http2Client
from lameduck.score.request import Request

SETTLE = 0.25
TURN = 0.15
"""Loops that look at a flag every 0.1 s make races of phase: each start waits another part of this long, in seconds."""
GOLDEN = 0.618033988749895
LATE = 0.15
"""What is asked so much later than it should be, in seconds, is another question: this machine was busy."""


class Late(EnvironmentFault):
    """The machine was too busy to ask at the moment that a question is about."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What to start and what to ask of it; `{port}` in a word, and $PORT, are the port that it must serve."""

    command: tuple[str, ...]
    fast: Request
    """What is answered at once."""
    slow: Request | None
    """What takes about a second, if there is such a thing."""
    signal: int = signal.SIGTERM
    start: float = 30.0
    """How long it may take to start, in seconds."""
    protocol: Protocol = Protocol.HTTP_1
    tls: bool = False


def free_port() -> int:
    """A port that nobody has just now."""
    with socket.socket() as sock:
        sock.bind((HOST, 0))
        return int(sock.getsockname()[1])


def isolation() -> list[str] | None:
    """What starts a command as PID 1 of a namespace of its own; None where this user may not."""
    if shutil.which("unshare") is None:
        return None
    mine = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    words = ["unshare", *mine, "--pid", "--fork", "--kill-child", "--mount-proc", "--"]
    tried = subprocess.run([*words, "true"], capture_output=True, check=False, timeout=10)
    return None if tried.returncode else words


class Server:
    """One run of it. As a context manager: started and serving, then gone."""

    starts: ClassVar[int] = 0

    def __init__(self, subject: Subject, below: list[str] | None = None) -> None:
        self.subject, self.below = subject, below or []
        self.port = free_port()
        self.signalled = 0
        self.ended = asyncio.Event()
        self.exit_at = 0
        self.late = 0.0
        """By how much the latest of its moments was missed, in seconds."""
        self.seen: set[tuple[int, int]] = set()
        self.left: list[int] = []
        """Who still held its port when it ended."""
        self.why = ""
        """What was wrong with an answer."""

    async def __aenter__(self) -> Self:
        words = [word.replace("{port}", str(self.port)) for word in self.subject.command]
        self.output = tempfile.TemporaryFile()  # noqa: SIM115  (closed in __aexit__)
        try:
            self.process = subprocess.Popen(
                [*self.below, *words],
                env={**os.environ, "PORT": str(self.port), "LAMEDUCK_POD": f"score-{self.port}"},  # a pod of its own
                stdin=subprocess.DEVNULL,
                stdout=self.output,
                stderr=self.output,
                start_new_session=True,
            )
        except OSError as error:
            raise UsageError(f"cannot start {words[0]}: {error.strerror}") from error
        self.pidfd = os.pidfd_open(self.process.pid)
        asyncio.get_running_loop().add_reader(self.pidfd, self._on_exit)
        try:
            await self._serving()
        except BaseException:
            await self.__aexit__()
            raise
        self.pid = self._child() if self.below else self.process.pid
        self.family()
        return self

    async def __aexit__(self, *_: object) -> None:
        for pid in self.family():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        await self.ended.wait()
        os.close(self.pidfd)
        self.output.close()

    def client(self) -> Client | Http2Client:
        """A connection that is still to be opened."""
        if self.subject.protocol is Protocol.HTTP_1:
            return Client(self.port)
        return Http2Client(self.port, tls=self.subject.tls, grpc=self.subject.protocol is Protocol.GRPC)

    async def once(self, request: Request, seconds: float = 4.0) -> Letter:
        """One request on a connection of its own."""
        client = self.client()
        failed = await client.connect()
        try:
            return failed or await client.ask(request, seconds, look=False)
        finally:
            self.why = client.why
            client.close()

    def tell(self) -> None:
        """Send the stop signal."""
        self.signalled = time.monotonic_ns()
        os.kill(self.pid, self.subject.signal)

    async def at(self, ms: float) -> None:
        """Wait until so long after the signal."""
        await self._until(self.signalled / SECOND + ms / 1000)

    async def pause(self, seconds: float) -> None:
        """Wait so long, before the signal: what has begun must still go on then."""
        await self._until(time.monotonic() + seconds)

    async def _until(self, instant: float) -> None:
        await asyncio.sleep(max(0.0, instant - time.monotonic()))
        self.late = max(self.late, time.monotonic() - instant)

    def in_time(self) -> None:
        """Raises `Late` where a moment was missed: what was seen then is no answer to what was asked."""
        if self.late > LATE:
            raise Late(f"this machine was too busy to ask in time: {self.late * 1000:.0f} ms late")

    async def end(self, seconds: float) -> Exit:
        """Watch it until it ends, or so long after the signal."""
        left = (self.signalled - time.monotonic_ns()) / SECOND + seconds
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0.01, left)):
                await self.ended.wait()
        if not self.ended.is_set():
            waited = time.monotonic_ns() - self.signalled
            return Exit(None, waited, waited)
        return Exit(self.process.returncode, self.exit_at - self.signalled, orphans=len(self.left))

    def family(self) -> list[int]:
        """Its session and every descendant ever seen: workers may have sessions of their own."""
        now = _processes()
        mine = {
            pid
            for pid, (_, session, born) in now.items()
            if self.process.pid in {session, pid} or (pid, born) in self.seen
        }
        while more := {pid for pid, (parent, _, _) in now.items() if parent in mine and pid not in mine}:
            mine |= more
        self.seen |= {(pid, now[pid][2]) for pid in mine if pid in now}
        return sorted(pid for pid in mine if pid in now)

    def _on_exit(self) -> None:
        asyncio.get_running_loop().remove_reader(self.pidfd)
        self.exit_at = time.monotonic_ns()
        others = [pid for pid in self.family() if pid != self.process.pid]
        self.left = [pid for pid in others if _holds(pid, self.port)]
        for pid in others:  # as the kernel does when a container's first process ends
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()
        self.ended.set()

    def _child(self) -> int:
        return int(Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()[0])

    async def _serving(self) -> None:
        give_up = time.monotonic() + self.subject.start
        good = 0
        letter: Letter = Letter.REFUSED
        while good < 2:
            letter = await self.once(self.subject.fast, 2)
            good = good + 1 if letter in GOOD else 0
            if self.ended.is_set() or time.monotonic() > give_up:
                raise EnvironmentFault(self._did_not_start(letter))
            await asyncio.sleep(0.03)
        Server.starts += 1
        await asyncio.sleep(SETTLE + TURN * (Server.starts * GOLDEN % 1))

    def _did_not_start(self, letter: Letter) -> str:
        self.output.seek(0)
        said = self.output.read()[-400:].decode(errors="replace").splitlines()
        said = [line.strip() for line in said if any(map(str.isalnum, line))]
        tail = f" Its last words: {said[-1]}" if said else ""
        if self.ended.is_set():
            return f"the server ended with {self.process.returncode} before it served port {self.port}.{tail}"
        what = {Letter.REFUSED: "nobody listens there"}
        why = self.why or what.get(letter, f"its answer is '{letter.value}'")
        why += "; say --path" if letter is Letter.OTHER and why.startswith("its answer") else ""
        place = f"no good answer on port {self.port} in {self.subject.start:.0f} s ({why})"
        return f"{place}; does it use {{port}} or $PORT?{tail}"


def _holds(pid: int, port: int) -> bool:
    """Whether a process has a socket of this port."""
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with suppress(OSError):
            for line in Path(table).read_text().splitlines()[1:]:
                fields = line.split()
                if int(fields[1].rsplit(":", 1)[1], 16) == port:
                    inodes.add(f"socket:[{fields[9]}]")
    with suppress(OSError):
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                if str(descriptor.readlink()) in inodes:
                    return True
    return False


def _processes() -> dict[int, tuple[int, int, int]]:
    """Pid → parent, session, start time; zombies left out."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
                if fields[0] != "Z":
                    found[int(entry.name)] = (int(fields[1]), int(fields[3]), int(fields[19]))
    return found
