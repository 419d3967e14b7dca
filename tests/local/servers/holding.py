"""Holds a cluster up until it is ended: `holding.py RUN_DIR COMMAND…`. Says "up" and the pods' pids, then rolls on."""

import asyncio
import signal
import sys
from pathlib import Path

from lameduck.core.instants import SECOND
from lameduck.core.timeline import Observation
from lameduck.local.cluster import LocalCluster
from lameduck.local.spec import LocalSpec, Timings


async def hold() -> None:
    pids = []

    def observe(seen: Observation) -> None:
        if "pid" in seen.detail:
            pids.append(seen.detail["pid"])

    brisk = Timings(relist=False, status=(900, 950, 1000), start=(1, 1, 1), probe_phase=(30, 50, 80))
    run_dir, *command = sys.argv[1:]
    spec = LocalSpec(tuple(command), run_dir=Path(run_dir), replicas=2, timings=brisk, min_sync=SECOND // 20)
    cluster = LocalCluster(spec, observe)
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, task.cancel)
    try:
        facts = await cluster.start()
        sys.stdout.write(f"up {facts.details['isolation']}: {' '.join(map(str, pids))}\n")
        sys.stdout.flush()
        while True:
            await cluster.disrupt(1)
    finally:
        await cluster.stop()
        sys.stdout.write("stopped\n")
        sys.stdout.flush()


try:
    asyncio.run(hold())
except asyncio.CancelledError:
    sys.exit(130)
