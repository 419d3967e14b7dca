"""The ingress as lameduck sees it: started, told the table, given sockets of the pods' networks, and asked at the end.

Law: the engine dials the ingress like any client, so that what it meets is the ingress's own answer; which pod each
request went to, and what the ingress met there, comes from the ingress's own log, matched by the client's port and
the moment: nothing is inferred. The ingress is a part of lameduck: what it never took in hand, or took too late, is our
own fault and never the target's.
"""

from __future__ import annotations

import asyncio
import os
import select
import socket
import subprocess
import sys
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import lameduck
from lameduck.cluster import Route
from lameduck.core.errors import EnvironmentFault
from lameduck.core.exchange import Behind, Failure, Kind, Stage
from lameduck.core.instants import MILLISECOND, SECOND
from lameduck.core.recording import RETRIED, Recording
from lameduck.local import channel
from lameduck.local.channel import MOST_DESCRIPTORS, Message
from lameduck.local.node import Backend

_BOOT = "import sys; sys.path.insert(0, sys.argv[1]); from lameduck.local.ingress import main; main(int(sys.argv[2]))"
_START_PATIENCE = 20.0
_LAST_WORD_MS = 2_000
LATE = 1 * SECOND
"""A request that the ingress took in hand only so long after its start (ns) says nothing of the target."""
TOO_SLOW = "the ingress on this machine was too slow"
_AGAIN = 0.005
"""Seconds until a request for sockets is looked at again where none were there."""


class Hop:
    """The ingress's process, and a `lameduck.cluster.Dialer` to it.

    `backend` finds a pod by name; `lost` is called when the process ends unasked.
    """

    def __init__(self, backend: Callable[[str], Backend | None], lost: Callable[[], None] = lambda: None) -> None:
        self._backend = backend
        self._lost = lost
        self._channel: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._port = 0
        self._up: asyncio.Future[None] | None = None
        self._log: list[list[Any]] = []
        self._open: dict[str, int] = {}
        self._flushed = False

    @property
    def address(self) -> str:
        """``127.0.0.1:PORT``, for any client."""
        return f"127.0.0.1:{self._port}"

    async def start(self) -> None:
        """Start it and wait until it listens. Raises `EnvironmentFault` if it does not."""
        mine, its = channel.pair()
        home = str(Path(lameduck.__file__).resolve().parent.parent)
        with its:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-c", _BOOT, home, str(its.fileno())],
                pass_fds=(its.fileno(),),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                start_new_session=True,
            )
        mine.setblocking(False)
        self._channel = mine
        loop = asyncio.get_running_loop()
        self._up = loop.create_future()
        loop.add_reader(mine, self._readable)
        try:
            async with asyncio.timeout(_START_PATIENCE):
                await self._up
        except TimeoutError:
            raise EnvironmentFault("the ingress did not start within 20 s: is this machine overloaded?") from None

    def dial(self) -> Route:
        """A connection to the ingress; which pod a request goes to is the ingress's affair."""
        made = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        return Route(made, ("127.0.0.1", self._port))

    def kept_open(self, pod: str) -> int:
        """How many connections the ingress held to a pod when it last said so (it does ten times a second)."""
        return self._open.get(pod, 0)

    def route(self, backends: Sequence[Backend]) -> None:
        """The pods that get requests from now on."""
        self._tell({"do": "table", "pods": [[each.name, *each.address] for each in backends]})

    def forget(self, pod: str) -> None:
        """A pod's network goes: no socket of it may stay."""
        self._tell({"do": "forget", "pod": pod})

    def attribute(self, recording: Recording) -> None:
        """Fill in which pod each request was routed to, and what the ingress met there. Blocks for a moment."""
        self._last_word()
        by_port: dict[int, list[list[Any]]] = defaultdict(list)
        for entry in sorted(self._log, key=lambda entry: entry[1]):
            by_port[entry[0]].append(entry)
        for seq, port in enumerate(recording.local_port):
            entries, began = by_port.get(port, []), recording.actual_start[seq]
            place = bisect_left(entries, began, key=lambda entry: entry[1])
            found = place < len(entries) and entries[place][1] <= (recording.finished[seq] or 1 << 62)
            if found:
                _note(recording, seq, entries[place])
            if not found or entries[place][1] - began > LATE:
                _ours(recording, seq)

    async def stop(self) -> None:
        """End it; returns when it is gone."""
        if self._process is None:
            return
        if self._channel is not None:
            asyncio.get_running_loop().remove_reader(self._channel)
            self._channel.close()
            self._channel = None
        for _ in range(200):
            if self._process.poll() is not None:
                return
            await asyncio.sleep(0.01)
        self._process.kill()
        self._process.wait()

    def _tell(self, message: Message, descriptors: Sequence[int] = ()) -> None:
        if self._channel is not None:
            try:
                channel.send(self._channel, message, descriptors)
            except (BrokenPipeError, ConnectionResetError):
                self._readable()

    def _readable(self) -> None:
        while self._channel is not None:
            try:
                message, _ = channel.receive(self._channel)
            except BlockingIOError:
                return
            if message is None:
                asyncio.get_running_loop().remove_reader(self._channel)
                self._channel.close()
                self._channel = None
                self._lost()
                return
            self._hear(message)

    def _hear(self, message: Message) -> None:
        match message["saw"]:
            case "up":
                self._port = message["port"]
                if self._up is not None and not self._up.done():
                    self._up.set_result(None)
            case "log":
                self._log += message["entries"]
                self._open = message["open"]
            case "dry":
                self._hand_over(message["pod"], message["count"])
            case "flushed":
                self._flushed = True

    def _hand_over(self, pod: str, count: int) -> None:
        """Give the ingress sockets of a pod's network, as many as are there; the rest a moment later."""
        backend = self._backend(pod)
        if backend is None or self._channel is None:
            return
        descriptors = backend.pool.hand_over(min(count, MOST_DESCRIPTORS))
        if descriptors:
            self._tell({"do": "sockets", "pod": pod}, descriptors)
            for descriptor in descriptors:
                os.close(descriptor)
        if left := count - len(descriptors):
            asyncio.get_running_loop().call_later(_AGAIN, self._hand_over, pod, left)

    def _last_word(self) -> None:
        """Have everything told that was not told yet."""
        if self._channel is None:
            return
        self._tell({"do": "flush"})
        poll = select.poll()
        poll.register(self._channel, select.POLLIN)
        while self._channel is not None and not self._flushed and poll.poll(_LAST_WORD_MS):
            self._readable()


def _ours(recording: Recording, seq: int) -> None:
    """A failure, if it is one, is our own."""
    failure = recording.failures[recording.failure[seq]]
    if failure is not None and failure.kind is not Kind.NOT_SENT:
        recording.failure[seq] = recording.failure_index(Failure(failure.stage, Kind.NOT_SENT, detail=TOO_SLOW))


def _note(recording: Recording, seq: int, entry: list[Any]) -> None:
    """Write what the ingress said of one request into its row."""
    _, _, pod, stage, kind, detail, reused, idle, again = entry
    recording.routed_to[seq] = recording.names.index(pod)
    if again:
        recording.flags[seq] |= RETRIED
    failure = recording.failures[recording.failure[seq]]
    if failure is None or failure.kind is Kind.NOT_SENT:
        return
    if stage == Stage.RESOLVE:
        _ours(recording, seq)  # it waited for a socket of ours
        return
    if not kind and failure.kind is Kind.TIMEOUT:
        kind = Kind.TIMEOUT.value  # it was still under way when the client gave up
    if kind:
        after = max(0, again - recording.actual_start[seq]) // MILLISECOND * MILLISECOND if again else 0
        behind = Behind(Stage(stage), Kind(kind), bool(reused), idle, after, detail)
        recording.failure[seq] = recording.failure_index(replace(failure, behind=behind))
