"""Does the prediction service lose a request of a pooled client when it is told to stop?

PODS servers at a time, each PID 1 of its own PID namespace, each loaded in open loop at RATE requests/s over a FIFO
pool of CONNECTIONS kept-alive connections (10 % batches of about 1 s); the client looks at a socket before reusing it.
In the middle each gets its stop signal. Until then a missing connection is opened; afterwards it is not: in act 4 new
connections go to other pods by then. What is counted is what was *sent on an open connection* and not answered.

    flock -x /tmp/lameduck-cpu.lock .venv/bin/python bench/demo_drain.py --rounds 25 -- \
        .venv/bin/python -m lameduck.demo.service
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from pathlib import Path

SANDBOX = ["unshare", "--user", "--map-current-user", "--pid", "--fork", "--kill-child", "--"]


def infer(rows: int) -> bytes:
    tensor = {"name": "pixels", "shape": [rows, 64], "datatype": "FP32", "data": list(range(64)) * rows}
    body = json.dumps({"inputs": [tensor]}, separators=(",", ":")).encode()
    head = f"POST /v2/models/digits/infer HTTP/1.1\r\nHost: pod\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


SINGLE, BATCH = infer(1), infer(128)


@dataclass
class Pod:
    port: int
    process: subprocess.Popen[bytes]
    pid: int = 0
    pool: deque[socket.socket] = field(default_factory=deque)
    counts: Counter[str] = field(default_factory=Counter)
    times: list[float] = field(default_factory=list)
    stopping: float = 0.0
    exited: float = 0.0


def start(command: list[str], port: int) -> Pod:
    env = os.environ | {"PORT": str(port), "POD_NAME": f"pod-{port}", "PYTHON": sys.executable}
    return Pod(port, subprocess.Popen([*SANDBOX, *command], env=env, stdin=subprocess.DEVNULL))


async def ready(pod: Pod) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", pod.port), 1).close()
            break
        except OSError:
            await asyncio.sleep(0.02)
    children = Path(f"/proc/{pod.process.pid}/task/{pod.process.pid}/children")
    pod.pid = int(children.read_text().split()[0])
    await exchange(await connect(pod), SINGLE)


async def connect(pod: Pod) -> socket.socket:
    s = socket.socket()
    s.setblocking(False)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    await asyncio.get_running_loop().sock_connect(s, ("127.0.0.1", pod.port))
    return s


async def exchange(s: socket.socket, request: bytes) -> tuple[int, bool]:
    """Status, and whether the connection may be used again. Raises OSError, or EOFError if cut."""
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(s, request)
    data = b""
    while b"\r\n\r\n" not in data:
        chunk = await loop.sock_recv(s, 65536)
        data += chunk
        if not chunk:
            raise EOFError("truncated" if data else "closed")
    head, _, body = data.partition(b"\r\n\r\n")
    lines = head.lower().split(b"\r\n")
    length = next(int(line.split(b":")[1]) for line in lines if line.startswith(b"content-length"))
    while len(body) < length:
        chunk = await loop.sock_recv(s, 65536)
        body += chunk
        if not chunk:
            raise EOFError("truncated")
    return int(lines[0].split()[1]), b"connection: close" not in lines


def usable(s: socket.socket) -> bool:
    try:
        s.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


async def request(pod: Pod, body: bytes, intended: float) -> None:
    while pod.pool and not usable(pod.pool[0]):
        pod.counts["closed at look"] += 1
        pod.pool.popleft().close()
    if not pod.pool and pod.stopping:
        pod.counts["moved"] += 1
        return
    s = pod.pool.popleft() if pod.pool else await connect(pod)
    sent = time.monotonic()
    try:
        status, again = await exchange(s, body)
    except (OSError, EOFError) as error:
        name = str(error) if isinstance(error, EOFError) else type(error).__name__
        pod.counts[f"LOST {name}"] += 1
        when = sent - pod.stopping if pod.stopping else float("nan")
        print(f"  lost: {name}, sent {when:+.3f} s from the stop signal, {'batch' if body is BATCH else 'single'}")
        s.close()
        return
    if body is SINGLE:
        pod.times.append(time.monotonic() - intended)
    pod.counts[str(status)] += 1
    if again:
        pod.pool.append(s)
    else:
        pod.counts["Connection: close"] += 1
        s.close()


async def play(pod: Pod, rate: float, connections: int, before: float, after: float) -> None:
    pod.pool.extend([await connect(pod) for _ in range(connections)])
    began = time.monotonic()
    tasks = []
    for number in range(round(rate * (before + after))):
        intended = began + number / rate
        await asyncio.sleep(max(0.0, intended - time.monotonic()))
        if not pod.stopping and intended - began >= before:
            pod.stopping = time.monotonic()
            os.kill(pod.pid, signal.SIGTERM)
            tasks.append(asyncio.create_task(end(pod)))
        tasks.append(asyncio.create_task(request(pod, BATCH if number % 10 == 9 else SINGLE, intended)))
    await asyncio.gather(*tasks)
    for s in pod.pool:
        s.close()


async def end(pod: Pod) -> None:
    while pod.process.poll() is None and time.monotonic() - pod.stopping < 30:
        await asyncio.sleep(0.005)
    pod.exited = time.monotonic()


async def measure(a: argparse.Namespace) -> list[Pod]:
    done: list[Pod] = []
    for number in range(a.rounds):
        pods = [start(a.command, 18500 + number % 20 * 10 + n) for n in range(a.pods)]
        await asyncio.gather(*map(ready, pods))
        await asyncio.gather(*(play(pod, a.rate, a.connections, a.before, a.after) for pod in pods))
        for pod in pods:
            pod.process.kill()
        done += pods
    return done


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--pods", type=int, default=4)
    parser.add_argument("--rate", type=float, default=84)
    parser.add_argument("--connections", type=int, default=25)
    parser.add_argument("--before", type=float, default=1.5, help="seconds under load before the stop signal")
    parser.add_argument("--after", type=float, default=3.5, help="seconds under load after it")
    parser.add_argument("command", nargs="+")
    pods = asyncio.run(measure(parser.parse_args()))
    total = sum((pod.counts for pod in pods), Counter())
    times = sorted(t for pod in pods for t in pod.times)
    exits = sorted(pod.exited - pod.stopping for pod in pods)
    codes = Counter(pod.process.poll() for pod in pods)
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = spent.ru_utime + spent.ru_stime
    print(f"{len(pods)} stops: {dict(sorted(total.items()))}")
    print(f"single: p50 {times[len(times) // 2] * 1e3:.1f} ms, p99 {times[len(times) * 99 // 100] * 1e3:.1f} ms")
    print(f"exit after {exits[0]:.2f} / {exits[len(exits) // 2]:.2f} / {exits[-1]:.2f} s, codes {dict(codes)}")
    print(f"CPU of the servers, start and stop included: {cpu / len(pods):.2f} s a pod")


main()
