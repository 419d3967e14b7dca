"""A server as a process of its own, and raw HTTP/1.1 connections to it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[3]
APPS = Path(__file__).parent / "apps"
BIN = Path(os.environ.get("SERVERS_BIN", ROOT / ".venv-servers/bin"))
"""SERVERS_BIN: the servers of another Python, 3.9 say (docs/layer.md)."""
PATIENCE = 40.0
"""Seconds; a machine with other work may be slow."""
GUNICORN = ["gunicorn", "-b", "127.0.0.1:{port}", "--log-level", "error"]
ENDED = {0}
if "SERVERS_BIN" not in os.environ:
    GUNICORN += ["--no-control-socket"]
else:  # older ones: gunicorn has no such socket, and uvicorn ends itself by the signal that it was told
    ENDED = {0, -signal.SIGTERM}
GTHREAD = [*GUNICORN, "--threads", "8", "wsgi_app:app"]
UVICORN = ["uvicorn", "--port", "{port}", "asgi_app:app"]


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


class Answer:
    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status, self.headers, self.body = status, headers, body

    @property
    def last(self) -> bool:
        return self.headers.get("connection", "").lower() == "close" or self.headers["version"] == "HTTP/1.0"


class Connection:
    """One kept-alive connection. Reading raises ConnectionError where the server ends it without an answer."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), 5)

    def send(self, path: str, agent: str = "test") -> None:
        self.socket.sendall(f"GET {path} HTTP/1.1\r\nHost: test\r\nUser-Agent: {agent}\r\n\r\n".encode())

    def answer(self) -> Answer:
        head, rest = b"", b""
        while b"\r\n\r\n" not in head:
            head += self._more()
        head, _, rest = head.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines)}
        headers["version"] = first.split()[0]
        if headers.get("transfer-encoding") == "chunked":
            while not rest.endswith(b"0\r\n\r\n"):
                rest += self._more()
        while len(rest) < int(headers.get("content-length", 0)):
            rest += self._more()
        return Answer(int(first.split()[1]), headers, rest)

    def ask(self, path: str, agent: str = "test") -> Answer:
        self.send(path, agent)
        return self.answer()

    def open(self) -> bool:
        """Whether the server has not ended it, as far as can be seen without sending."""
        self.socket.setblocking(False)
        try:
            return self.socket.recv(1, socket.MSG_PEEK) != b""
        except BlockingIOError:
            return True
        except OSError:
            return False
        finally:
            self.socket.settimeout(PATIENCE)

    def _more(self) -> bytes:
        self.socket.settimeout(PATIENCE)
        data = self.socket.recv(65536)
        if not data:
            raise ConnectionError("ended without a whole answer")
        return data

    def close(self) -> None:
        self.socket.close()


def fresh(port: int, path: str) -> Answer:
    connection = Connection(port)
    try:
        return connection.ask(path)
    finally:
        connection.close()


class Server:
    """A server below `command`, with the words it says on standard error."""

    def __init__(
        self,
        command: list[str],
        port: int,
        env: dict[str, str],
        below: list[str] | None = None,
        *,
        serving: bool = True,
    ) -> None:
        self.port = port
        self.held = env.get("HELD")
        words = [*(below or []), str(BIN / command[0]), *[w.replace("{port}", str(port)) for w in command[1:]]]
        clean = {k: v for k, v in os.environ.items() if not k.startswith("LAMEDUCK_")}
        path = os.pathsep.join([str(APPS), str(ROOT / "pod/src")])
        alone = {"LAMEDUCK_POD": f"test-{port}"}  # else it hears what drains in other tests on this machine
        self.process = subprocess.Popen(
            words,
            cwd=APPS,
            env={
                **clean,
                **alone,
                "PYTHONPATH": path,
                "PYTHONDONTWRITEBYTECODE": "1",
                "LAMEDUCK_JOURNAL": "json",
                **env,
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.lines: list[str] = []
        self.said = threading.Condition()
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        self.pid = self.process.pid
        if serving:
            self._until_serving()
        if below:
            self.pid = int(Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()[0])

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self.said:
                self.lines.append(line.rstrip())
                self.said.notify_all()

    def _until_serving(self) -> None:
        end = time.monotonic() + PATIENCE
        while True:
            with contextlib.suppress(OSError):
                if fresh(self.port, "/fast").status == 200:
                    time.sleep(0.12)  # as a readiness probe that comes again: the layer looks every 0.1 s
                    fresh(self.port, "/fast")
                    return
            if time.monotonic() > end or self.process.poll() is not None:
                self.end()
                raise AssertionError("did not start:\n" + "\n".join(self.lines[-30:]))
            time.sleep(0.02)

    def said_line(self, text: str) -> None:
        """Waits until it has said exactly this."""
        with self.said:
            assert self.said.wait_for(lambda: text in self.lines, PATIENCE), self.lines[-30:]

    def event(self, name: str, workers: int = 1) -> dict[str, Any]:
        """The layer's line of this name, waited for until so many workers have said it."""

        def found() -> list[str]:
            return [x for x in self.lines if x.startswith('{"lameduck": "layer"') and f'"event": "{name}"' in x]

        with self.said:
            said = self.said.wait_for(lambda: len(found()) >= workers, PATIENCE)
            assert said, f"never said {name}:\n" + "\n".join(self.lines[-30:])
            return dict(json.loads(found()[-1]))

    def release(self) -> None:
        """Every /slow is answered, those that come too."""
        assert self.held is not None
        Path(self.held).unlink()

    def signal(self, number: int = signal.SIGTERM) -> float:
        before = time.monotonic()
        os.kill(self.pid, number)
        return before

    def idle(self) -> None:
        """Waits until each of its threads, its workers' too, has slept through a twentieth of a second."""
        end = time.monotonic() + PATIENCE
        before = None
        while before is None or (now := _threads(self.pid)) != before or any(state != "S" for state, _ in now):
            assert time.monotonic() < end, "never idle"
            before = _threads(self.pid)
            time.sleep(0.05)

    def wait(self, seconds: float = PATIENCE) -> int:
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"alive after {seconds} s:\n" + "\n".join(self.lines[-30:])) from None

    def end(self) -> None:
        """Ends what this test started: the process group, which is its own session."""
        if self.process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(10)


def _threads(pid: int) -> list[tuple[str, str]]:
    """The state of each thread of a process and its children, and how often it went to sleep."""
    found = []
    for status in Path(f"/proc/{pid}/task").glob("*/status"):
        facts = dict(line.split(":\t", 1) for line in status.read_text().splitlines())
        found.append((facts["State"][0], facts["voluntary_ctxt_switches"]))
        for child in (status.parent / "children").read_text().split():
            found += _threads(int(child))
    return found
