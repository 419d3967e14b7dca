"""A load balancer outside the cluster: pods are its targets, and it hears of their going late.

    balancer.py PORT SERVICE NAMESPACE LAG

A new connection goes to the next target in turn, byte for byte. A pod that is no longer ready stays a target for LAG
seconds more (a cloud balancer's deregistration, cases C72 and C73).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time

PORT, SERVICE, NAMESPACE, LAG = int(sys.argv[1]), sys.argv[2], sys.argv[3], float(sys.argv[4])
targets: dict[str, float] = {}
"""Each target's address, and until when it is one: forever while its endpoint is ready."""
turn = 0


async def follow() -> None:
    argv = ("kubectl", "-n", NAMESPACE, "get", "endpointslices", "-l", f"kubernetes.io/service-name={SERVICE}")
    while True:
        asked = await asyncio.create_subprocess_exec(*argv, "-o", "json", stdout=asyncio.subprocess.PIPE)
        said, _ = await asked.communicate()
        with contextlib.suppress(ValueError):
            slices = json.loads(said)["items"]
            ready = {
                each["addresses"][0]
                for one in slices
                for each in one.get("endpoints") or ()
                if each["conditions"].get("ready")
            }
            for address in set(targets) - ready:
                targets[address] = min(targets[address], time.monotonic() + LAG)
            targets.update(dict.fromkeys(ready, float("inf")))
        for address in [each for each, end in targets.items() if end < time.monotonic()]:
            del targets[address]
        await asyncio.sleep(0.5)


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    global turn
    turn += 1
    chosen = list(targets)[turn % len(targets)]
    try:
        to_pod = await asyncio.open_connection(chosen, 8080)
    except OSError:
        writer.transport.abort()
        return
    await asyncio.gather(pump(reader, to_pod[1]), pump(to_pod[0], writer))


async def main() -> None:
    following = asyncio.create_task(follow())
    while not targets:
        await asyncio.sleep(0.1)
    async with await asyncio.start_server(serve, "127.0.0.1", PORT, backlog=1024):
        sys.stdout.write("up\n")
        sys.stdout.flush()
        await following


asyncio.run(main())
