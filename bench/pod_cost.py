"""What `lameduck-pod` costs: start, memory, wake-ups, how soon a drain leaves, and a look at n connections.

    flock -x /tmp/lameduck-cpu.lock .venv/bin/python bench/pod_cost.py [PYTHON]

PYTHON (default: this one) runs `lameduck-pod`, from the sources with bytecode and from the zipapp. The limits are those
of docs/pod.md; exits 1 when one is broken.
"""

from __future__ import annotations

import json
import os
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent
PYTHON = str(Path(sys.argv[1] if len(sys.argv) > 1 else sys.executable).absolute())
ENV = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}  # as installed: with its bytecode
ENV["PYTHONPATH"] = str(HERE / "pod/src")
INSTALLED = [PYTHON, "-c", "import sys; from lameduck_pod.__main__ import main; sys.exit(main())"]  # the wheel's script
TIMES = 30
broken: list[str] = []


def say(what: str, value: float, unit: str, limit: float | None = None) -> None:
    over = limit is not None and value > limit
    if over:
        broken.append(what)
    mark = "" if limit is None else f"   (≤ {limit:g}{', BROKEN' if over else ''})"
    print(f"{what:<58}{value:>8.2f} {unit}{mark}")


def seconds(argv: list[str]) -> float:
    """The median of some runs."""
    taken = []
    for _ in range(TIMES):
        start = time.perf_counter()
        subprocess.run(argv, env=ENV, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def starts(zipapp: str) -> None:
    bare = seconds(["true"])
    python = seconds([PYTHON, "-IS", "-c", "pass"])
    say("start: Python itself", 1e3 * (python - bare), "ms")
    for name, argv, limit in (("installed", INSTALLED, 40), ("zipapp", [PYTHON, "-IS", zipapp], 40)):
        took = seconds([*argv, "run", "--journal", "none", "--", "true"])
        say(f"start: run ({name}) over the bare command", 1e3 * (took - bare), "ms", limit)
    for name, argv in (("installed", INSTALLED), ("zipapp", [PYTHON, "-IS", zipapp])):
        say(f"start: drain hook ({name}) to its first look", 1e3 * first_look(argv), "ms", 60)


def first_look(argv: list[str]) -> float:
    taken = []
    for _ in range(TIMES):
        start = time.monotonic_ns()
        with subprocess.Popen(
            [*argv, "drain", "--port", "9", "--least", "0", "--grace", "30", "--journal", "json"],
            env=ENV,
            text=True,
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
        ) as hook:
            line = next(line for line in hook.stderr or () if '"watching"' in line)
            taken.append((json.loads(line)["monotonic_ns"] - start) / 1e9)
    return statistics.median(taken)


def leaves() -> None:
    """The hook's end after the last answer, of requests that go on beyond `--least`, each on a new connection."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)
    address, taken = listener.getsockname(), []
    for _ in range(5):
        argv = [*INSTALLED, "drain", "--port", str(address[1]), "--grace", "30", "--journal", "none"]
        start = time.monotonic()
        with subprocess.Popen(argv, env=ENV, stderr=subprocess.DEVNULL) as hook:
            while time.monotonic() < start + 4:
                with socket.create_connection(address) as client, listener.accept()[0] as served:
                    client.sendall(b"GET / HTTP/1.1\r\n\r\n")
                    served.recv(99)
                    served.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
                    client.recv(99)
                last = time.monotonic()
                time.sleep(0.02)
            hook.wait()
            taken.append(time.monotonic() - last)
    say("leaves after the last answer (--quiet 1 s), the soonest", min(taken), "s")
    say("leaves after the last answer (--quiet 1 s), the latest", max(taken), "s", 1.3)
    if min(taken) < 1:
        broken.append("left sooner than --quiet")


def status(pid: int, field: str) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if field in line)


def own_memory(pid: int) -> int:
    """KiB that no other process shares: what a container is charged for, but for the interpreter's file pages."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_"))


def standing(name: str, argv: list[str], limit: float) -> None:
    process = subprocess.Popen(argv, env=ENV, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    assert process.stderr is not None
    while '"started"' not in process.stderr.readline():
        pass
    time.sleep(0.3)
    before = status(process.pid, "ctxt_switches")
    say(f"memory: {name}, resident", status(process.pid, "VmRSS") / 1024, "MiB", limit)
    say(f"memory: {name}, its own", own_memory(process.pid) / 1024, "MiB")
    time.sleep(3)
    say(f"wake-ups: {name}, idle, in 3 s", status(process.pid, "ctxt_switches") - before, "", 0)
    process.terminate()
    process.wait()


def looks() -> None:
    sys.path.insert(0, str(HERE / "pod/src"))
    from lameduck_pod import quiet  # noqa: PLC0415
    from lameduck_pod.procnet import PassiveOpens, ProcNet  # noqa: PLC0415
    from lameduck_pod.sensor import COUNTERS, TABLES, Sensor  # noqa: PLC0415

    resource.setrlimit(resource.RLIMIT_NOFILE, (4096, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    port = listener.getsockname()[1]
    held: list[socket.socket] = []
    worse = ([("/proc/net/tcp", ProcNet)], [("PassiveOpens", PassiveOpens)])
    for n in (0, 100, 1000):
        while len(held) < 2 * n:
            client = socket.create_connection(("127.0.0.1", port))
            client.sendall(b"GET / HTTP/1.1\r\n\r\n")
            served, _ = listener.accept()
            served.recv(99)
            served.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            held += [client, served]
        for name, means, limit in (("sock_diag", (TABLES, COUNTERS), 5.0), ("/proc", worse, None)):
            sensor = Sensor([port], (), *means)
            rules, state, taken = quiet.Rules(), quiet.begin(time.monotonic_ns()), []
            for _ in range(50):
                start = time.perf_counter()
                state, _ = quiet.step(rules, state, sensor.look(), time.monotonic_ns())
                taken.append(time.perf_counter() - start)
            say(f"a look at {n} connections, {name}", 1e3 * statistics.median(taken), "ms", limit)
            sensor.close()


def main() -> int:
    print(subprocess.run([PYTHON, "-VV"], capture_output=True, text=True, check=True).stdout.strip())
    with tempfile.TemporaryDirectory() as box:
        zipapp = f"{box}/lameduck-pod.pyz"
        subprocess.run(
            ["scripts/zipapp", zipapp], cwd=HERE, env={**ENV, "PYTHON": PYTHON}, check=True, stderr=subprocess.DEVNULL
        )
        subprocess.run([*INSTALLED, "--version"], env=ENV, check=True, stdout=subprocess.DEVNULL)
        starts(zipapp)
        quietly = ["--until-quiet", "--grace", "30"]
        standing("run", [*INSTALLED, "run", "--journal", "json", "--", "sleep", "60"], 12)
        standing("run --until-quiet", [*INSTALLED, "run", "--journal", "json", *quietly, "--", "sleep", "60"], 12)
        standing("run (zipapp)", [PYTHON, "-IS", zipapp, "run", "--journal", "json", "--", "sleep", "60"], 12)
        sidecar = ["drain", "--listen", "19190", "--any-caller", "--grace", "30", "--journal", "json"]
        standing("sidecar", [*INSTALLED, *sidecar], 25)
        leaves()
        looks()
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
