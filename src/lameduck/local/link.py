"""lameduck's side of the small processes: one zygote per cluster, one holder per pod.

Law: nothing here blocks the event loop, except `Holder.wait`, which a dialler calls when it has run dry.
"""

from __future__ import annotations

import asyncio
import os
import select
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Callable
from pathlib import Path

import lameduck
from lameduck.core.errors import EnvironmentFault
from lameduck.local import channel
from lameduck.local.channel import Message
from lameduck.local.sandbox import Isolation

_DRY_WAIT_MS = 100
_BOOT = "import sys; sys.path.append(sys.argv[1]); from lameduck.local.zygote import main; main(int(sys.argv[2]))"


class Outbox:
    """What is to be sent on a channel whose other side may be slower: at once while it takes it, else in order."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._waiting: deque[tuple[Message, socket.socket | None]] = deque()

    def send(self, message: Message, along: socket.socket | None = None) -> None:
        """Send a message, and a socket that is closed here once it is on its way. Raises `OSError` if it sees one."""
        self._waiting.append((message, along))
        if len(self._waiting) == 1 and not self._flush():
            asyncio.get_running_loop().add_writer(self._end, self._writable)

    def close(self) -> None:
        """Forget what was not sent."""
        asyncio.get_running_loop().remove_writer(self._end)
        self._dropped()

    def _writable(self) -> None:
        try:
            over = self._flush()
        except OSError:  # the other side is gone, and whoever reads from it learns that
            self._dropped()
            over = True
        if over:
            asyncio.get_running_loop().remove_writer(self._end)

    def _flush(self) -> bool:
        """Send what can be sent; whether that was all."""
        while self._waiting:
            message, along = self._waiting[0]
            try:
                channel.send(self._end, message, [] if along is None else [along.fileno()])
            except BlockingIOError:
                return False
            except OSError:
                self._dropped()
                raise
            self._waiting.popleft()
            if along is not None:
                along.close()
        return True

    def _dropped(self) -> None:
        while self._waiting:
            _, along = self._waiting.popleft()
            if along is not None:
                along.close()


class Zygote:
    """The process that forks holders. `start` it before anything else is under way."""

    def __init__(self) -> None:
        self._channel: socket.socket | None = None
        self._outbox: Outbox | None = None
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        """Start it and wait for its word. Raises `EnvironmentFault` if it has none."""
        mine, its = channel.pair()
        home = str(Path(lameduck.__file__).resolve().parent.parent)
        with its:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", _BOOT, home, str(its.fileno())],
                pass_fds=(its.fileno(),),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                start_new_session=True,
            )
        mine.setblocking(False)
        self._channel, self._outbox = mine, Outbox(mine)
        if await self._answer() is None:
            raise EnvironmentFault(f"{sys.executable} could not start the process that holds the pods")

    async def trial(self, isolation: Isolation) -> str:
        """Whether this system allows such a sandbox: "" if so, else what it says."""
        assert self._channel is not None
        channel.send(self._channel, {"do": "trial", "isolation": list(isolation)})
        answer = await self._answer()
        return "the trial's process died" if answer is None else str(answer["why_not"])

    def holder(self, order: Message) -> Holder:
        """A new pod's holder."""
        assert self._channel is not None
        assert self._outbox is not None
        mine, its = channel.pair()
        self._outbox.send({"do": "pod", **order}, its)
        mine.setblocking(False)
        return Holder(mine)

    async def _answer(self) -> Message | None:
        assert self._channel is not None
        loop = asyncio.get_running_loop()
        ready: asyncio.Future[None] = loop.create_future()
        loop.add_reader(self._channel, lambda: None if ready.done() else ready.set_result(None))
        try:
            async with asyncio.timeout(20):
                await ready
        except TimeoutError:
            return None
        finally:
            loop.remove_reader(self._channel)
        return channel.receive(self._channel)[0]

    async def stop(self) -> None:
        """End it and every holder; returns when they are gone."""
        if self._channel is None or self._process is None:
            return
        if self._outbox is not None:
            self._outbox.close()
        self._channel.close()
        self._channel = None
        for _ in range(500):
            if self._process.poll() is not None:
                return
            await asyncio.sleep(0.01)
        self._process.kill()
        self._process.wait()


class Holder:
    """One pod's holder, as lameduck speaks with it. `listen` says who gets its messages."""

    def __init__(self, end: socket.socket) -> None:
        self._channel: socket.socket | None = end
        self._outbox = Outbox(end)
        self._hear: Callable[[Message], None] = lambda _: None
        self._sockets: Callable[[list[int]], None] = lambda _: None

    def listen(self, hear: Callable[[Message], None], sockets: Callable[[list[int]], None]) -> None:
        """Hand every message to `hear` and every batch of sockets to `sockets`, from now on."""
        assert self._channel is not None
        self._hear, self._sockets = hear, sockets
        asyncio.get_running_loop().add_reader(self._channel, self._readable)

    def tell(self, do: str, **what: object) -> None:
        """Ask for something. A holder that is gone is not told."""
        if self._channel is not None:
            try:
                self._outbox.send({"do": do, **what})
            except (BrokenPipeError, ConnectionResetError):
                self._readable()

    def wait(self) -> None:
        """Block until it has said something, for at most 100 ms."""
        if self._channel is not None:
            poll = select.poll()
            poll.register(self._channel, select.POLLIN)
            if poll.poll(_DRY_WAIT_MS):
                self._readable()

    def close(self) -> None:
        """End it, and its pod with it."""
        if self._channel is not None:
            asyncio.get_running_loop().remove_reader(self._channel)
            self._outbox.close()
            self._channel.close()
            self._channel = None

    def _readable(self) -> None:
        while self._channel is not None:
            try:
                message, descriptors = channel.receive(self._channel)
            except BlockingIOError:
                return
            if message is None:
                self.close()
                self._hear({"saw": "lost", "at": 0})
            elif message["saw"] == "sockets":
                self._sockets(descriptors)
            else:
                for stray in descriptors:
                    os.close(stray)
                self._hear(message)
