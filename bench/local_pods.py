"""What many pods on this machine cost: memory, processor time, and the engine's start delay among them.

    .venv/bin/python bench/local_pods.py [PODS] [ROLLOUTS] [SURGE]

A tiny server (one process, one thread, no packages) as a Deployment of PODS, rolled ROLLOUTS times under 200 requests a
second. Memory is the sum of the proportional set sizes (`smaps_rollup`) of lameduck, of the holders and of the servers,
looked at once while all pods are ready and once in the middle of a rollout.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SERVER = """
import os, selectors, signal, socket, sys
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
at = selectors.DefaultSelector()
listener = socket.create_server(("", int(os.environ["PORT"])), backlog=64)
listener.setblocking(False)
at.register(listener, selectors.EVENT_READ)
answer = b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok"
while True:
    for key, _ in at.select():
        if key.fileobj is listener:
            connection, _ = listener.accept()
            connection.setblocking(False)
            at.register(connection, selectors.EVENT_READ)
        else:
            try:
                data = key.fileobj.recv(4096)
                if data:
                    key.fileobj.sendall(answer * data.count(b"\\r\\n\\r\\n"))
                    continue
            except OSError:
                pass
            at.unregister(key.fileobj)
            key.fileobj.close()
"""


def below(pid: int) -> list[int]:
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, task.read_text().split()):
            found += [child, *below(child)]
    return found


def kind_of(pid: int, lameduck: int) -> str:
    if pid == lameduck:
        return "lameduck"
    name = Path(f"/proc/{pid}/comm").read_text().strip()
    return "holders" if name.startswith(("pod ", "lameduck-zygote")) else "servers"


def memory(lameduck: int) -> dict[str, tuple[int, float]]:
    """By kind: how many processes, and their MiB."""
    found: dict[str, tuple[int, float]] = {}
    for pid in [lameduck, *below(lameduck)]:
        try:
            rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
            kind = kind_of(pid, lameduck)
        except OSError:
            continue
        size = re.search(r"^Pss:\s+(\d+)", rollup, re.MULTILINE)
        count, mebibytes = found.get(kind, (0, 0.0))
        found[kind] = (count + 1, mebibytes + (int(size[1]) / 1024 if size else 0))
    return found


def cpu(pid: int) -> float:
    """Seconds of processor time of a process and of the children that it has reaped."""
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, words[11:13])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    pods, rollouts, surge = (*sys.argv[1:], *("200", "20", "25%")[len(sys.argv) - 1 :])
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "proof.json"
        command = [
            *(sys.executable, "-m", "lameduck", "prove", "--local", "--replicas", pods, "--rollouts", rollouts),
            *(
                "--qps",
                "200",
                "--max-surge",
                surge,
                "--pre-stop-sleep",
                "3",
                "--start-deadline",
                "240",
                "--deadline",
                "300",
            ),
            *("--run-dir", f"{folder}/run", "--json", str(result), "--", sys.executable, "-I", "-S", "-c", SERVER),
        ]
        started = time.monotonic()
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as child:
            assert child.stderr is not None
            seen: dict[str, dict[str, tuple[int, float]]] = {}
            used = 0.0
            for line in child.stderr:
                phase = "ready" if "baseline" in line else "rolling" if "rollout 1" in line else ""
                if phase == "ready" and phase not in seen:
                    print(f"{pods} pods ready after {time.monotonic() - started:.1f} s")
                if phase == "rolling" and "rolling" not in seen:
                    time.sleep(3)
                if phase and phase not in seen:
                    seen[phase] = memory(child.pid)
                if phase:
                    used = cpu(child.pid)
            child.wait()
        took = time.monotonic() - started
        for phase, kinds in seen.items():
            parts = "; ".join(
                f"{name} {count} x {size / count:.1f} = {size:.0f} MiB" for name, (count, size) in kinds.items()
            )
            print(f"{phase}: {parts}")
        proof = json.loads(result.read_text())
        delay = proof["validity"]["start_delay_ms"]
        print(f"{took:.0f} s in all; lameduck itself {used:.1f} s of a processor so far at the last look")
        print(f"rollouts: {proof['rollouts']}")
        print(f"causes: {', '.join(sorted({found['code'] for found in proof['findings']})) or 'none'}")
        print(f"{proof['sentence']}; start delay p50 {delay['p50']} p99 {delay['p99']} max {delay['max']} ms")


if __name__ == "__main__":
    main()
