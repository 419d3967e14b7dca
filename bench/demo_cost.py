"""What the prediction service costs: seconds to ready, memory, CPU per single prediction and per batch.

One client after the other, so that nothing queues: kept-alive singles, singles with a connection each, batches of 128
rows (16 at a time). CPU is the servers' own (user and system, all its processes), start apart.

    flock -x /tmp/lameduck-cpu.lock .venv/bin/python bench/demo_cost.py -- .venv/bin/python -m lameduck.demo.service
"""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

PORT = 18490
TICK = os.sysconf("SC_CLK_TCK")


def infer(rows: int) -> str:
    tensor = {"name": "pixels", "shape": [rows, 64], "datatype": "FP32", "data": list(range(64)) * rows}
    return json.dumps({"inputs": [tensor]}, separators=(",", ":"))


def family(pid: int) -> list[int]:
    """A process and its descendants."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(one for child in children for one in family(int(child)))]


def cpu(pid: int) -> float:
    """Seconds of CPU of a process tree."""
    fields = [Path(f"/proc/{one}/stat").read_text().rsplit(")")[-1].split() for one in family(pid)]
    return sum(int(f[11]) + int(f[12]) for f in fields) / TICK


def memory(pid: int) -> float:
    """MiB of a process tree, shared pages counted once."""
    lines = [line for one in family(pid) for line in Path(f"/proc/{one}/smaps_rollup").read_text().splitlines()]
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


def post(connection: http.client.HTTPConnection, body: str) -> float:
    began = time.perf_counter()
    connection.request("POST", "/v2/models/digits/infer", body)
    answer = connection.getresponse()
    answer.read()
    assert answer.status == 200, answer.status
    return time.perf_counter() - began


def kept(count: int, rows: int) -> list[float]:
    connection = http.client.HTTPConnection("127.0.0.1", PORT)
    body = infer(rows)
    times = [post(connection, body) for _ in range(count)]
    connection.close()
    return times


def fresh(count: int) -> list[float]:
    return [t for _ in range(count) for t in kept(1, 1)]


def side_by_side(count: int) -> list[float]:
    with ThreadPoolExecutor(16) as pool:
        return [t for times in pool.map(lambda _: kept(count, 128), range(16)) for t in times]


def main() -> None:
    began = time.monotonic()
    env = os.environ | {"PORT": str(PORT), "PYTHON": sys.executable}
    server = subprocess.Popen(sys.argv[sys.argv.index("--") + 1 :], env=env)
    try:
        while time.monotonic() - began < 30:
            try:
                kept(1, 1)
                break
            except OSError:
                time.sleep(0.01)
        print(f"ready after {time.monotonic() - began:.2f} s, {cpu(server.pid):.2f} s of CPU")
        kept(50, 1)
        jobs = [("kept-alive single", lambda: kept(3000, 1)), ("single, own connection", lambda: fresh(1500))]
        for name, job in [*jobs, ("batch of 128 rows", lambda: side_by_side(4))]:
            before = cpu(server.pid)
            times = sorted(job())
            each = (cpu(server.pid) - before) / len(times) * 1e3
            middle, late = times[len(times) // 2] * 1e3, times[len(times) * 99 // 100] * 1e3
            print(f"{name}: {each:.2f} ms of CPU, response p50 {middle:.1f} ms, p99 {late:.1f} ms")
        print(f"memory: {memory(server.pid):.0f} MiB")
    finally:
        server.terminate()
        server.wait(30)


main()
