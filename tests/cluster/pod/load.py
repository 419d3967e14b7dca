"""The load of `measure.py`, in a process of its own: load.py ADDRESS PORT RATE LANES PATH, until SIGINT.

Then one JSON object: every failure of it, when, on which kind of connection, how long idle, whose."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections import Counter

from lameduck.core.exchange import Exchange, Lane
from lameduck.core.instants import SECOND, to_ms
from lameduck.core.plan import RequestShape, TrafficPlan
from lameduck.core.recording import Recording
from lameduck.load.dialer import TcpDialer
from lameduck.load.engine import Engine
from lameduck.load.punctual import punctual

MOST = 50
"""So many failures are told one by one."""


def told(exchange: Exchange, owner: str, before: str) -> dict[str, object]:
    failure = exchange.failure
    assert failure is not None
    return {
        "lane": exchange.lane.value,
        "kind": failure.kind.value,
        "stage": failure.stage.value,
        "status": exchange.status,
        "start": exchange.actual_start,
        "sent": exchange.sent,
        "finished": exchange.finished,
        "idle_ms": to_ms(exchange.idle),
        "nth": exchange.nth_on_connection,
        "pod": exchange.served_by or owner,
        "port_before": before,
    }


def summary(recording: Recording, engine: Engine) -> dict[str, object]:
    owners: dict[int, str] = {}
    names = recording.names.texts
    for connection, served in zip(recording.connection, recording.served_by, strict=True):
        if served:
            owners[connection] = names[served]
    failed = list(recording.failed_exchanges())
    ports: dict[int, str] = {}
    before: dict[int, str] = {}  # failed row → who answered the connection that had its local port before
    lost = {each.seq for each in failed}
    for seq, (port, served) in enumerate(zip(recording.local_port, recording.served_by, strict=True)):
        if seq in lost:
            before[seq] = ports.get(port, "")
        elif served:
            ports[port] = names[served]
    return {
        "requests": len(recording),
        "failed": len(failed),
        "kinds": dict(Counter(each.failure.kind.value for each in failed if each.failure)),
        "failures": [told(each, owners.get(each.connection, ""), before[each.seq]) for each in failed[:MOST]],
        "began": engine.watch.started,
        "failed_at": [each.actual_start or each.intended_start for each in failed],
        "closed_idle": recording.closed_idle,
        "stalls": [[start, length] for start, length in engine.watch.stalls],
    }


async def main() -> None:
    address, port, rate, lanes, path = sys.argv[1:]
    chosen = tuple((lane, 1.0) for lane in Lane if lane.value in lanes.split(","))
    shape = RequestShape(path=path)
    plan = TrafficPlan(rate=float(rate), lanes=chosen, requests=(shape,), timeout=15 * SECOND)
    engine = Engine(plan, TcpDialer.resolve(address, int(port)), host="web")
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, engine.stop)
    with punctual():
        await engine.run(bounded=False)
    sys.stdout.write(json.dumps(summary(engine.recording, engine)) + "\n")


asyncio.run(main())
