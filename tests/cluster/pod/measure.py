"""`lameduck-pod` on a real cluster: rollouts under load of a server that exits at once on SIGTERM, row by row.

    tests/cluster/up && tests/cluster/pod/build
    tests/cluster/exec .venv/bin/python tests/cluster/pod/measure.py [--rollouts N] [ROW …]   measures, then as --table
    .venv/bin/python tests/cluster/pod/measure.py --table                                     writes docs/pod.md's table

ROW is one of `rows.NAMES` (``new/sleep-5``) or all of a traffic (``new``); none: all. Rows of `traefik` want
`tests/cluster/ingress` before, rows of `node` a cluster of K8S_NODES=2. Results are kept in results.json, each with its
date: a row that is measured again replaces itself.

Every instant is this machine's CLOCK_MONOTONIC: a deletion as the watch shows it, a stop signal as the server (or, for
Java, `run`) writes it into its log.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import rows
import table

HERE = Path(__file__).parent
PROXY = Path(os.environ.get("K8S_STATE", "/tmp/lameduck-k8s"), "pid", "kube-proxy-1")


def kubectl(*argv: str, text: object = None) -> str:
    stdin = None if text is None else json.dumps(text)
    command = ["kubectl", "-n", rows.NAMESPACE, *argv]
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"kubectl {' '.join(argv)}: {done.stderr}")
    return done.stdout


def pods() -> list[dict[str, Any]]:
    return json.loads(kubectl("get", "pods", "-l", "app=web", "-o", "json"))["items"]


def settled(most: float = 120) -> None:
    """All three run, and whatever ended is gone."""
    kubectl("rollout", "status", "deployment/web", f"--timeout={most:.0f}s")
    end = time.monotonic() + most
    while sorted("deletionTimestamp" in one["metadata"] for one in pods()) != [False] * 3:
        if time.monotonic() > end:
            raise SystemExit("the rollout does not settle")
        time.sleep(0.2)


class Watch:
    """When each pod was deleted, and when it was gone, as kubectl's watch says it; instants in ns."""

    def __init__(self) -> None:
        self.deleted: dict[str, int] = {}
        self.gone: dict[str, int] = {}
        command = ["kubectl", "-n", rows.NAMESPACE, "get", "pods", "-l", "app=web", "-o", "json"]
        command += ["--watch", "--output-watch-events"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        heard, decoder = "", json.JSONDecoder()
        assert self.process.stdout is not None
        while data := os.read(self.process.stdout.fileno(), 1 << 16):
            now = time.monotonic_ns()
            heard = (heard + data.decode()).lstrip()
            with contextlib.suppress(ValueError):
                while heard:
                    event, end = decoder.raw_decode(heard)
                    heard = heard[end:].lstrip()
                    self._take(event, now)

    def wait(self, most: float = 120) -> None:
        """Until the Deployment is whole and whatever was deleted is gone. The watch knows; asking again and again
        would be load."""
        kubectl("rollout", "status", "deployment/web", f"--timeout={most:.0f}s")
        end = time.monotonic() + most
        while self.deleted.keys() - self.gone.keys():
            if time.monotonic() > end:
                raise SystemExit("the rollout does not settle")
            time.sleep(0.02)

    def _take(self, event: dict[str, Any], now: int) -> None:
        about = event["object"]["metadata"]
        if "deletionTimestamp" in about:
            self.deleted.setdefault(about["name"], now)
        if event["type"] == "DELETED":
            self.gone.setdefault(about["name"], now)


@contextlib.contextmanager
def held(seconds: float, watch: Watch) -> Iterator[None]:
    """kube-proxy stands still for so long, from the next deletion on."""
    before, process = len(watch.deleted), int(PROXY.read_text())

    def hold() -> None:
        while len(watch.deleted) == before:
            time.sleep(0.005)
        os.kill(process, signal.SIGSTOP)
        time.sleep(seconds)
        os.kill(process, signal.SIGCONT)

    holding = threading.Thread(target=hold)
    if seconds:
        holding.start()
    try:
        yield
    finally:
        if seconds:
            holding.join()


def forget() -> None:
    """Connections that were never answered stay in the connection table for 120 s, tied to the dead pod: the next
    one from the same port (a single client comes round in about 100 s) would be lost once more."""
    subprocess.run(["conntrack", "-D", "-p", "tcp", "--state", "SYN_SENT"], capture_output=True, check=False)


def disrupt(row: dict[str, Any], number: int, watch: Watch) -> float:
    """One rollout, or one node's drain; seconds until all that was deleted is gone."""
    start = time.monotonic()
    if row.get("node"):
        node = f"node-{2 - number % 2}"
        kubectl("drain", node, "--ignore-daemonsets", "--delete-emptydir-data", "--pod-selector=app=web")
        watch.wait()
        kubectl("uncordon", node)
    else:
        with held(row.get("hold", 0), watch):
            kubectl("rollout", "restart", "deployment/web")
            watch.wait()
    return time.monotonic() - start


def follow(box: Path) -> list[subprocess.Popen[bytes]]:
    """The logs of all containers that are there, to their end, in `box`."""
    logs = []
    for pod in pods():
        for one in (*pod["spec"]["containers"], *pod["spec"].get("initContainers", ())):
            path = box / f"{pod['metadata']['name']}.{one['name']}"
            if path.exists():  # since an earlier disruption
                continue
            file = path.open("w")
            command = ["kubectl", "-n", rows.NAMESPACE, "logs", "-f", pod["metadata"]["name"], "-c", one["name"]]
            logs.append(subprocess.Popen(command, stdout=file, stderr=subprocess.DEVNULL))
    return logs


def said(box: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """(pod, line) of everything that the pods said in JSON."""
    for file in sorted(box.iterdir()):
        for line in file.read_text().splitlines():
            with contextlib.suppress(ValueError):
                if line.startswith(('{"lameduck"', '{"app"')):
                    yield file.name.partition(".")[0], json.loads(line)


def until_routed(where: list[str]) -> None:
    """kube-proxy may take seconds to route a Service whose pods are all new; what it refuses until then is no loss."""
    fine = 0
    for _ in range(200):
        url = f"http://{where[0]}:{where[1]}/"
        code = subprocess.run(["curl", "-sf", "-m", "1", "-o", "/dev/null", url], check=False).returncode
        fine = 0 if code else fine + 1
        if fine == 20:
            return
        time.sleep(0.05)
    raise SystemExit("the Service does not answer")


def measure(name: str, rollouts: int) -> dict[str, Any]:
    row = rows.parts(name)
    subprocess.run(["kubectl", "create", "namespace", rows.NAMESPACE], capture_output=True, check=False)
    kubectl("delete", "deployment", "web", "--ignore-not-found", "--wait")
    kubectl("delete", "pods", "-l", "app=web", "--force", "--grace-period=0")
    kubectl("apply", "-f", "-", text=rows.around())
    kubectl("apply", "-f", "-", text=rows.deployment(name))
    settled()
    address = kubectl("get", "service", "web", "-o", "jsonpath={.spec.clusterIP}")
    where = ["127.0.0.1", "8000"] if row.get("ingress") else [address, "80"]
    forget()
    until_routed(where)
    watch = Watch()
    box = Path(tempfile.mkdtemp())
    load = subprocess.Popen(
        [sys.executable, str(HERE / "load.py"), *where, str(row["rate"]), row["lanes"], "/predict"],
        stdout=subprocess.PIPE,
    )
    try:
        time.sleep(3)
        took = []
        for number in range(rollouts):
            forget()
            logs = follow(box)
            time.sleep(1)
            took.append(disrupt(row, number, watch))
            if not row.get("node"):
                for log in logs:
                    log.wait(20)
        time.sleep(1)
        load.send_signal(signal.SIGINT)
        out, _ = load.communicate(timeout=60)
    finally:
        load.kill()
        watch.process.kill()
    return result(name, json.loads(out), list(said(box)), watch, took)


def result(
    name: str, load: dict[str, Any], lines: list[tuple[str, dict[str, Any]]], watch: Watch, took: list[float]
) -> dict[str, Any]:
    stops = {pod: line["monotonic_ns"] for pod, line in lines if "app" in line or line.get("event") == "forwarded"}
    drained = {pod: line for pod, line in lines if line.get("event") == "drained" or line.get("reason")}
    waits = sorted((stops[pod] - at) / 1e9 for pod, at in watch.deleted.items() if pod in stops)
    ended = [(watch.gone[pod] - at) / 1e9 for pod, at in watch.deleted.items() if pod in watch.gone]
    after = [(stops[pod] - line["monotonic_ns"]) / 1e6 for pod, line in drained.items() if pod in stops]
    for failure in load["failures"]:
        pod = failure["pod"]
        if pod in stops:
            failure["sent_after_stop_ms"] = round((failure["sent"] or failure["start"]) / 1e6 - stops[pod] / 1e6, 1)
        if pod in drained:
            failure["sent_after_drained_ms"] = round(failure["start"] / 1e6 - drained[pod]["monotonic_ns"] / 1e6, 1)
    return {
        "row": name,
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M"),
        "rollouts": len(took),
        "requests": load["requests"],
        "failed": load["failed"],
        "kinds": load["kinds"],
        "closed_idle": load["closed_idle"],
        "terminations": len(ended),
        "to_stop_s": [round(f(waits), 2) for f in (min, statistics.median, max)] if waits else None,
        "to_gone_s": round(statistics.mean(ended), 2) if ended else None,
        "drained_to_stop_ms": [round(f(after), 1) for f in (min, statistics.median, max)] if after else None,
        "reasons": dict(Counter(str(line.get("reason")) for line in drained.values())),
        "most": next((line["message"] for line in drained.values() if line.get("reason") in ("most", "stuck")), None),
        "rollout_s": round(statistics.mean(took), 1),
        "lost_after_stop_s": lost_after(load["failed_at"], sorted(stops.values())),
        "failed_by_second": by_second(load["failed_at"], load["began"]),
        "stopped_at_s": by_second(list(stops.values()), load["began"]),
        "load_average": round(os.getloadavg()[0], 1),
        "own_stalls_ms": [round(length / 1e6) for _, length in load["stalls"]],
        "failures": load["failures"],
    }


def by_second(instants: list[int], began: int) -> dict[int, int]:
    """How many in each second of the load."""
    return dict(sorted(Counter((at - began) // 10**9 for at in instants).items()))


def lost_after(failed: list[int], stops: list[int]) -> dict[str, float] | None:
    """How long after the stop signal before it each lost request began, in s: the routers' lag beyond the wait."""
    after = sorted((at - max(s for s in stops if s <= at)) / 1e9 for at in failed if stops and at >= stops[0])
    if not after:
        return None
    shares = {"min": 0, "p50": len(after) // 2, "p90": len(after) * 9 // 10, "max": len(after) - 1}
    return {name: round(after[place], 2) for name, place in shares.items()}


def main() -> int:
    p = argparse.ArgumentParser()
    p.add_argument("--rollouts", type=int, default=5)
    p.add_argument("--table", action="store_true")
    p.add_argument("row", nargs="*")
    a = p.parse_args()
    wanted = [name for name in rows.NAMES if name in a.row or name.partition("/")[0] in a.row or not (a.row or a.table)]
    wanted += [name for name in a.row if "/" in name and name not in wanted]
    for name in wanted:
        found = measure(name, a.rollouts)
        table.keep(found)
        shown = {
            key: value for key, value in found.items() if key not in {"failures", "failed_by_second", "stopped_at_s"}
        }
        sys.stdout.write(json.dumps(shown) + "\n")
        sys.stdout.flush()
    table.write()
    return 0


if __name__ == "__main__":
    sys.exit(main())
