"""A pod of one process: `lameduck-pod` as PID 1 of a real PID namespace, or not; its journal, its command's words."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import os
import queue
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import pytest

LAMEDUCK_POD = [sys.executable, "-m", "lameduck_pod"]
PATIENCE = 40.0
"""Seconds; a machine with other work may be slow, and what never comes is told all the same."""

# Says what it hears. Argument: the exit code on SIGTERM, or "deaf".
WITNESS = """
import os, signal, sys, time
def hear(number, frame):
    name = f"SIGRTMIN+{number - signal.SIGRTMIN}" if number > 64 - 30 else signal.Signals(number).name
    os.write(1, f"heard {name}\\n".encode())
    if number == signal.SIGTERM and sys.argv[1] != "deaf":
        sys.exit(int(sys.argv[1]))
for s in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD, signal.SIGTTIN, signal.SIGTTOU}:
    signal.signal(s, hear)
os.write(1, b"ready\\n")
while True:
    time.sleep(0.05)  # not longer: a signal between Python's last look and the system call waits until the call is over
"""


def namespaces(*flags: str) -> list[str]:
    """An `unshare` that an ordinary user may do as well."""
    mine = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    return ["unshare", *mine, "--fork", "--kill-child", "--mount-proc", "--pid", *flags]


def can_unshare() -> bool:
    return subprocess.run([*namespaces(), "true"], capture_output=True, check=False, timeout=10).returncode == 0


class Pod:
    """A running `lameduck-pod`. Waits for words, never for time to pass."""

    def __init__(self, argv: list[str], below: list[str], env: dict[str, str], **popen: Any) -> None:
        clean = {k: v for k, v in os.environ.items() if not k.startswith("LAMEDUCK_")}
        self.process = subprocess.Popen(
            [*below, *argv],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**clean, **env},
            **popen,
        )
        self.pid = _only_child(self.process.pid) if below[:1] == ["unshare"] else self.process.pid
        self.journal: list[dict[str, Any]] = []
        self.words: list[str] = []
        self.other: list[str] = []
        self._news: queue.Queue[None] = queue.Queue()
        self._threads = [
            threading.Thread(target=self._read, args=(stream, put), daemon=True)
            for stream, put in ((self.process.stdout, self.words.append), (self.process.stderr, self._journal))
        ]
        for thread in self._threads:
            thread.start()

    def _read(self, stream: IO[str], put: Callable[[str], None]) -> None:
        for line in stream:
            put(line.rstrip("\n"))
            self._news.put(None)

    def _journal(self, line: str) -> None:
        try:
            self.journal.append(json.loads(line))
        except ValueError:
            self.other.append(line)

    def until(self, found: Callable[[], Any], what: object = "") -> Any:
        """The first true value of `found`, asked whenever something was said."""
        end = time.monotonic() + PATIENCE
        while not (value := found()):
            try:
                self._news.get(timeout=min(0.05, max(0.01, end - time.monotonic())))
            except queue.Empty:
                if time.monotonic() > end:
                    raise AssertionError(f"never came: {what}\n{self}") from None
        return value

    def word(self, text: str) -> str:
        return str(self.until(lambda: next((w for w in self.words if text in w), None), text))

    def event(self, name: str) -> dict[str, Any]:
        return dict(self.until(lambda: next((e for e in self.journal if e["event"] == name), None), name))

    def events(self) -> list[str]:
        return [e["event"] for e in self.journal]

    def signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def wait(self) -> int:
        """The exit code; when it is here, everything that was said has been read."""
        code = self.process.wait(PATIENCE)
        for thread in self._threads:
            thread.join(PATIENCE)
        return code

    def __str__(self) -> str:
        lines = [f"{e['event']}: {e['message']}" for e in self.journal]
        return "\n".join(["journal:", *lines, "words:", *self.words, "other:", *self.other])

    def end(self) -> None:
        if self.process.poll() is None:
            if self.pid != self.process.pid:
                _kill(self.pid)
            self.process.kill()
            self.process.wait()
        for thread in self._threads:
            thread.join(1)


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _only_child(pid: int) -> int:
    end = time.monotonic() + PATIENCE
    path = Path(f"/proc/{pid}/task/{pid}/children")
    while time.monotonic() < end:
        found = path.read_text().split()
        if found:
            return int(found[0])
        time.sleep(0.001)
    raise AssertionError("unshare has no child")


@pytest.fixture
def pods() -> Iterator[Callable[..., Pod]]:
    """Starts `lameduck-pod` with these arguments: as PID 1 of a namespace of its own unless `pid1` is false."""
    started: list[Pod] = []

    def start(
        *argv: str, pid1: bool = True, below: list[str] | None = None, env: dict[str, str] | None = None, **popen: Any
    ) -> Pod:
        if pid1 and below is None and not can_unshare():
            pytest.skip("this user may not make a PID namespace")
        above = below if below is not None else namespaces() if pid1 else []
        pod = Pod([*LAMEDUCK_POD, *argv], above, env or {}, **popen)
        started.append(pod)
        return pod

    yield start
    for pod in started:
        pod.end()


@pytest.fixture
def own_network() -> list[str]:
    """What to start below, for a PID and a network namespace of its own."""
    if not can_unshare():
        pytest.skip("this user may not make namespaces")
    return namespaces("--net")


@pytest.fixture
def witness(tmp_path: Path) -> Callable[..., list[str]]:
    """The command line of a program that says which signals it hears; `code` on SIGTERM, or "deaf"."""
    path = tmp_path / "witness.py"
    path.write_text(WITNESS)
    return lambda code="0": [sys.executable, "-S", str(path), str(code)]


@pytest.fixture
def script(tmp_path: Path) -> Callable[[str], str]:
    """An executable shell script with this text."""

    def write(text: str, first: str = "#!/bin/sh\n", mode: int = 0o755) -> str:
        path = tmp_path / f"script-{len(list(tmp_path.iterdir()))}"
        path.write_text(first + text)
        path.chmod(mode)
        return str(path)

    return write


CLONE_NEWNET = 0x40000000
SIOCSIFFLAGS, IFF_UP = 0x8914, 1


@pytest.fixture
def network() -> Iterator[bool]:
    """This test's thread, and what it starts, in a network namespace of its own; False where that is not allowed."""
    libc = ctypes.CDLL(None, use_errno=True)
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    if libc.unshare(CLONE_NEWNET):
        os.close(home)
        yield False
        return
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        fcntl.ioctl(s, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", IFF_UP))
    yield True
    assert libc.setns(home, CLONE_NEWNET) == 0
    os.close(home)


class Server:
    """A server whose every step is the test's: accept, read, answer."""

    def __init__(self, address: str = "127.0.0.1") -> None:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.listener = socket.create_server((address, 0), family=family, backlog=64)
        self.port: int = self.listener.getsockname()[1]
        self.held: list[socket.socket] = [self.listener]

    def client(self, source: str = "127.0.0.1") -> socket.socket:
        client = socket.create_connection(("127.0.0.1", self.port), source_address=(source, 0))
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.held.append(client)
        return client

    def accept(self) -> socket.socket:
        connection, _ = self.listener.accept()
        self.held.append(connection)
        return connection

    def pair(self, source: str = "127.0.0.1") -> tuple[socket.socket, socket.socket]:
        client = self.client(source)
        return client, self.accept()

    def exchange(self, client: socket.socket, connection: socket.socket) -> None:
        client.sendall(b"GET / HTTP/1.1\r\n\r\n")
        connection.recv(4096)
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        client.recv(4096)

    def short(self, source: str = "127.0.0.1") -> None:
        """One connection, one request; the client closes first."""
        client, connection = self.pair(source)
        self.exchange(client, connection)
        client.close()
        connection.recv(1)
        connection.close()
        del self.held[-2:]

    def close(self) -> None:
        for one in self.held:
            one.close()


@pytest.fixture
def server(network) -> Iterator[Server]:
    server = Server()
    yield server
    server.close()
