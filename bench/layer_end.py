"""What a request meets that comes on an idle kept-alive connection just as a server with the layer ends.

    .venv/bin/python bench/layer_end.py [--stops N] [--source DIR] [SERVER …]         DIR: another lameduck_pod

Each stop: some kept-alive connections, each used once; SIGTERM; the layer waits LEAST and then, `quiet` being 0, lets
the server end as soon as nothing is in hand. At a random moment around that one request is sent on one of the
connections, which is looked at before, as good clients do. Said for each server: how many requests were lost (sent and
not answered), how many answered, and how often the end was seen before.

A race cannot be lost less often than the network's own delay makes it: what the client sends while the end is under way
to it. Everything above that is the server's, or the layer's.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import select
import signal
import socket
import subprocess
import time
from collections import Counter

import servers

CONNECTIONS, LEAST, WINDOW, AT_ONCE = 10, 0.3, (-0.005, 0.045), 8
REQUEST = b"GET /fast HTTP/1.1\r\nHost: test\r\nUser-Agent: race\r\n\r\n"
NAMES = tuple(name for name in servers.PYTHON if name not in servers.NO_KEEP_ALIVE)
QUICK = {"LAMEDUCK_LEAST": str(LEAST), "LAMEDUCK_QUIET": "0", "LAMEDUCK_JOURNAL": "none"}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as one:
        return int(one.getsockname()[1])


def started(name: str, port: int, source: str) -> subprocess.Popen[bytes]:
    words = [word.replace("{port}", str(port)) for word in servers.words(name)]
    if name in ("gunicorn gthread", "gunicorn gevent"):
        words += ["--keep-alive", "75"]
    env = {**os.environ, **servers.environment(layer=True), **QUICK, "LAMEDUCK_POD": f"end-{port}"}
    if source:
        env["PYTHONPATH"] = os.pathsep.join([str(servers.APPS), source])
    return subprocess.Popen(
        words, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )


def connected(port: int) -> socket.socket:
    """A connection that has been used once."""
    end = time.monotonic() + 20
    while True:
        with contextlib.suppress(OSError):
            one = socket.create_connection(("127.0.0.1", port), 5)
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if _asked(one) == "answered":
                return one
            one.close()
        if time.monotonic() > end:
            raise SystemExit("does not serve")
        time.sleep(0.02)


def _asked(one: socket.socket) -> str:
    if select.select([one], [], [], 0)[0]:
        return "seen"  # nothing was asked, so this is the end
    try:
        one.sendall(REQUEST)
        return "answered" if b" 200 " in one.recv(65536) else "lost"
    except OSError:
        return "lost"


def some_stops(name: str, count: int, source: str) -> list[str]:
    """What the request of each met: answered, lost, or the end was seen before it was sent."""
    ports = [free_port() for _ in range(count)]
    running = [started(name, port, source) for port in ports]
    try:
        for port in ports:
            connected(port).close()
        time.sleep(1.2)  # it takes the handler over in steps
        return [one_stop(server.pid, port) for server, port in zip(running, ports, strict=True)]
    finally:
        for server in running:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(server.pid, signal.SIGKILL)
            server.wait()


def one_stop(pid: int, port: int) -> str:
    idle = [connected(port) for _ in range(CONNECTIONS)]
    time.sleep(0.15)
    at = time.monotonic() + LEAST + random.uniform(*WINDOW)
    os.kill(pid, signal.SIGTERM)
    time.sleep(max(0, at - 0.002 - time.monotonic()))
    while time.monotonic() < at:
        pass
    try:
        return _asked(random.choice(idle))
    finally:
        for one in idle:
            one.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stops", type=int, default=40)
    parser.add_argument("--source", default="")
    parser.add_argument("server", nargs="*", default=NAMES)
    asked = parser.parse_args()
    for name in asked.server:
        met: Counter[str] = Counter()
        while met.total() < asked.stops:
            met.update(some_stops(name, AT_ONCE, asked.source))
        print(
            f"{name}: {met['lost']} of {met.total()} lost, {met['answered']} answered, {met['seen']} saw it", flush=True
        )


if __name__ == "__main__":
    main()
