"""What a driver costs: memory while two agents' records of a million exchanges become one, and the time to judge it.

    bench/kube_driver.py [EXCHANGES]

A run of three rollouts is made up (9 terminations, one exchange in 5,000 lost), written as two agents' run files,
joined on the driver's clock as `lameduck.kube.inside` does it, written as the driver's run file, and judged. Each
step's CPU time, and the highest resident memory of the whole process.
"""

from __future__ import annotations

import asyncio
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from lameduck.core.clocks import Asked
from lameduck.core.exchange import Failure, Kind, Lane, Stage
from lameduck.core.instants import MILLISECOND, SECOND
from lameduck.core.plan import DisruptionPlan, Plan, TrafficPlan
from lameduck.core.recording import Recording
from lameduck.core.run import ClusterFacts, Run
from lameduck.core.timeline import Event, Milestone, Observation
from lameduck.defects.judge import judge
from lameduck.kube.agents import Agent, Agents
from lameduck.kube.inside import Aim, InsideLoad
from lameduck.runfile import RunWriter, plan_as_json

START = 1_000 * SECOND
RATE = 5_000


def one_agent(file: Path, index: int, count: int) -> None:
    """An agent's run file, as it writes it."""
    recording = Recording()
    pods = [recording.names.index(f"shop-{n}") for n in range(12)]
    lost = Failure(Stage.CONNECT, Kind.REFUSED, 111, "Connection refused")
    facts = {"kind": "agent", "name": "", "replicas": 0, "grace": 0, "notes": [], "details": {}}
    plan = plan_as_json(Plan(TrafficPlan(rate=RATE), DisruptionPlan(times=0)))
    meta = {"plan": plan, "facts": facts, "load_started": START}
    writer = RunWriter(file, recording, meta)
    for n in range(count):
        at = START + (2 * n + index) * SECOND // RATE
        row = recording.plan(at, Lane.NEW if n % 2 else Lane.REUSE)
        recording.actual_start[row] = at + 20_000
        recording.connection[row], recording.nth_on_connection[row] = (n, 1) if n % 2 else (n % 50, n)
        if n % 5_000 == 4_999:
            recording.settle(row, at + 100_000, lost)
            continue
        recording.connected[row] = recording.sent[row] = at + 50_000
        recording.first_byte[row] = at + 4 * MILLISECOND
        recording.status[row], recording.size[row], recording.local_port[row] = 200, 512, 10_000 + n % 50_000
        recording.served_by[row] = pods[(n // 1_000) % 12]
        recording.settle(row, at + 5 * MILLISECOND)
    writer.close()


def lives(end: int) -> list[Observation]:
    """Nine pods that go and nine that come, in three rollouts."""
    seen: list[Observation] = []
    for number in range(12):
        seen.append(Observation(START - 8 * SECOND, Milestone.CREATED, f"shop-{number}"))
        seen.append(Observation(START - 8 * SECOND, Milestone.ENDPOINT_READY, f"shop-{number}"))
    for number in range(9):
        at, pod = START + 10 * SECOND + number * (end - START - 20 * SECOND) // 9, f"shop-{number}"
        if number % 3 == 0:
            seen.append(Observation(at - 8 * SECOND, Event.DISRUPTION_REQUESTED, str(number // 3 + 1)))
        for what, after in (
            (Milestone.DELETION_REQUESTED, 0), (Milestone.STOP_SIGNAL, 10), (Milestone.ENDPOINT_NOT_READY, 15),
            (Milestone.LISTENER_CLOSED, 20), (Milestone.EXITED, 60), (Milestone.GONE, 900),
        ):  # fmt: skip
            seen.append(Observation(at - 7 * SECOND + after * MILLISECOND, what, pod))
        if number % 3 == 2:
            seen.append(Observation(at - 6 * SECOND, Event.DISRUPTION_COMPLETED, str(number // 3 + 1)))
    return seen


async def joined(box: Path) -> InsideLoad:
    """What `InsideLoad.run` does once the files are there."""
    agents = Agents.__new__(Agents)
    agents.all = [
        Agent(f"agent-{n}", f"node-{n}", n, [Asked(0, 1_000_000, 7 * SECOND)], file=box / f"agent-{n}.db")
        for n in range(2)
    ]
    load = InsideLoad(agents, TrafficPlan(rate=RATE), Aim("", 0, ""), {}, lambda _: None, time.monotonic_ns)
    for each in agents.all:
        load._join(each)
    return load


def step(name: str, since: float) -> float:
    now = time.process_time()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{name:<46} {now - since:6.2f} s of CPU   highest so far {peak:4.0f} MiB")
    return time.process_time()


def main() -> int:
    count = int(sys.argv[1]) if len(sys.argv) > 1 and sys.argv[1].isdigit() else 1_000_000
    if os.environ.get("BOX"):
        box = Path(os.environ["BOX"])
        for n in range(2):
            one_agent(box / f"agent-{n}.db", n, count // 2)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        box = Path(folder)
        subprocess.run([sys.executable, *sys.argv], env={**os.environ, "BOX": folder}, check=True)  # its own memory
        now = time.process_time()
        load = asyncio.run(joined(box))
        now = step(f"two agents' records of {len(load.recording):,} joined", now)
        end = START + count * SECOND // RATE
        facts = ClusterFacts("kubernetes", "deployment/shop", 3, 30 * SECOND)
        meta = {
            "plan": plan_as_json(Plan(TrafficPlan(rate=RATE), DisruptionPlan(times=3))),
            "facts": {
                **{name: getattr(facts, name) for name in ClusterFacts.__slots__},
                "details": {"senders": load.senders},
            },
            "load_started": START - 7 * SECOND,
            "load_ended": end - 7 * SECOND,
        }
        writer = RunWriter(box / "run.db", load.recording, meta)
        for seen in lives(end):
            writer.observe(seen)
        writer.close()
        now = step("written as the driver's run file", now)
        stored = {**meta["facts"], "notes": ()}
        run = Run(
            Plan(TrafficPlan(rate=RATE), DisruptionPlan(times=3)), ClusterFacts(**stored), load.recording,
            lives(end), START - 7 * SECOND, end - 7 * SECOND,
        )  # fmt: skip
        proof = judge(run)
        step(f"judged: {proof.verdict}, {proof.failed} lost", now)
    return 0


if __name__ == "__main__":
    sys.exit(main())
