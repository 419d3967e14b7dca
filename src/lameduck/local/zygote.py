"""The zygote: a small process, started once, from which every pod's holder is forked.

A holder forked from lameduck itself would cost a copy of its page tables in the middle of a measurement. Laws: the
zygote has one thread, since a user namespace can only be left by such a process; it ends with lameduck, and its holders
with it.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
import time
import traceback
from typing import NoReturn

from lameduck.local import channel, holder, sandbox
from lameduck.local.sandbox import Isolation

_PATIENCE = 3_000_000_000
"""How long a holder may take to end its pod before it is killed, and its pod by the kernel with it."""


class Zygote:
    """Serves one lameduck over one channel."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._holders: dict[int, int] = {}
        """pidfd → pid"""
        self._poll = select.poll()
        self._poll.register(control, select.POLLIN)

    def serve(self) -> None:
        """Work until the channel ends."""
        while True:
            for descriptor, _ in self._poll.poll():
                if descriptor in self._holders:
                    self._reap(descriptor)
                    continue
                message, descriptors = channel.receive(self._control)
                if message is None or message["do"] == "end":
                    return
                if message["do"] == "trial":
                    channel.send(
                        self._control, {"saw": "trial", "why_not": self._trial(Isolation(*message["isolation"]))}
                    )
                else:
                    self._fork(message, descriptors[0])

    def end(self) -> None:
        """End every holder, and with it its pod."""
        for pid in self._holders.values():
            os.kill(pid, signal.SIGTERM)
        until = time.monotonic_ns() + _PATIENCE
        while self._holders:
            left = until - time.monotonic_ns()
            if left <= 0:
                for pid in self._holders.values():
                    os.kill(pid, signal.SIGKILL)
            for descriptor, _ in self._poll.poll(max(1, left // 1_000_000)):
                if descriptor in self._holders:
                    self._reap(descriptor)
                else:
                    self._poll.unregister(descriptor)

    def _reap(self, pidfd: int) -> None:
        os.waitpid(self._holders.pop(pidfd), 0)
        self._poll.unregister(pidfd)
        os.close(pidfd)

    def _fork(self, order: channel.Message, descriptor: int) -> None:
        control = socket.socket(fileno=descriptor)
        mine, its = channel.pair()
        order["zygote"] = os.getpid()
        pid = os.fork()
        if pid == 0:
            try:
                self._control.close()
                mine.close()
                for pidfd in self._holders:
                    os.close(pidfd)
                holder.main(control, order, its)
            finally:  # told to end before it had its own handler, it must not end its siblings as the zygote would
                os._exit(0)
        control.close()
        its.close()
        pidfd = os.pidfd_open(pid)
        self._holders[pidfd] = pid
        self._poll.register(pidfd, select.POLLIN)
        _answer(mine, pid)

    def _trial(self, isolation: Isolation) -> str:
        """Make a whole sandbox and use it: "" if everything works, else what does not."""
        mine, its = channel.pair()
        report, blame = os.pipe2(os.O_CLOEXEC)
        pid = os.fork()
        if pid == 0:
            mine.close()
            _try(isolation, its, blame)
        its.close()
        os.close(blame)
        _answer(mine, pid)
        with os.fdopen(report, encoding="utf-8") as pipe:
            why_not = pipe.read()
        _, status = os.waitpid(pid, 0)
        return why_not or ("" if status == 0 else f"a trial sandbox ended with {status}")


def _answer(mine: socket.socket, pid: int) -> None:
    """Map the ids of a child that asks for it; it is over when the child closes its end."""
    with mine:
        if mine.recv(16) == b"map":
            mine.send(b"y" if sandbox.map_all(pid) else b"n")


def _try(isolation: Isolation, parent: socket.socket, blame: int) -> NoReturn:
    try:
        holder.enter(isolation, "198.18.0.1", parent)
        if isolation.net:
            with socket.create_server(("0.0.0.0", 0)) as server:
                socket.create_connection(("198.18.0.1", server.getsockname()[1]), timeout=1).close()
        if isolation.pid:
            pid = sandbox.clone(sandbox.CLONE_NEWPID)
            if pid == 0:
                os._exit(0 if os.getpid() == 1 else 1)
            if os.waitpid(pid, 0)[1]:
                raise OSError("the first process of a PID namespace is not process 1")  # noqa: TRY301
    except OSError as error:
        os.write(blame, str(error).encode())
    os._exit(0)


def main(descriptor: int) -> None:
    """The zygote's whole life; `descriptor` is its end of the channel."""
    control = socket.socket(fileno=descriptor)
    zygote = Zygote(control)

    def stop(*_: object) -> NoReturn:
        raise SystemExit

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sandbox.rename("lameduck-zygote")
    try:
        sandbox.die_with_parent(signal.SIGTERM)
        channel.send(control, {"saw": "up"})
        zygote.serve()
    except (SystemExit, OSError):
        pass
    except Exception:
        traceback.print_exc(file=sys.stderr)
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        zygote.end()
