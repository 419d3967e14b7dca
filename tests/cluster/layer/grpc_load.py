"""gRPC clients at a constant rate until SIGINT: `python grpc_load.py HOST:PORT RATE SLOW_SHARE`. Prints JSON.

Half of the RPCs go over warm channels, each of which has a connection of its own, half over a new channel each. These
clients watch no health service and retry nothing but what gRPC itself retries unseen (an RPC that no server has seen).
"""

import asyncio
import contextlib
import json
import signal
import sys
import time
from collections import Counter

import grpc

WARM = 16
OWN = [("grpc.use_local_subchannel_pool", 1)]


async def main(target: str, rate: float, slow_share: float) -> None:
    """Send until told to stop, and say what came of it."""
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    loop.add_signal_handler(signal.SIGINT, stopped.set)
    warm = [grpc.aio.insecure_channel(target, options=OWN) for _ in range(WARM)]
    sent, lost, codes, losses = Counter(), Counter(), Counter(), []

    async def one(lane: str, channel: grpc.aio.Channel, path: str) -> None:
        sent[lane] += 1
        try:
            await channel.unary_unary(path)(b"x", timeout=10)
        except grpc.aio.AioRpcError as error:
            lost[lane] += 1
            codes[f"{error.code().name}: {error.details()}"] += 1
            losses.append((time.time(), lane, path, error.debug_error_string()))

    async def alone(path: str) -> None:
        async with grpc.aio.insecure_channel(target, options=OWN) as channel:
            await one("new", channel, path)

    began, number, running = loop.time(), 0, set()
    while not stopped.is_set():
        slow = number % round(1 / slow_share) < 2  # one of each lane
        path = "/p/slow" if slow and number // 2 % 2 == 0 else "/p/fast"
        doing = alone(path) if number % 2 else one("reuse", warm[number // 2 % WARM], path)
        task = asyncio.ensure_future(doing)
        running.add(task)
        task.add_done_callback(running.discard)
        number += 1
        with contextlib.suppress(asyncio.TimeoutError):
            async with asyncio.timeout(max(0, began + number / rate - loop.time())):
                await stopped.wait()
    await asyncio.gather(*running)
    for channel in warm:
        await channel.close()
    total = sum(lost.values())
    said = {"verdict": "FAILED" if total else "PROVEN", "lost": total, "lost_by_lane": lost}
    sys.stdout.write(json.dumps({**said, "requests": sum(sent.values()), "codes": codes, "losses": losses}) + "\n")


asyncio.run(main(sys.argv[1], float(sys.argv[2]), float(sys.argv[3])))
