"""A WebSocket server (and plain HTTP on every other path), with one behaviour at SIGTERM (first argument).

`leaves`: closes its listener, waits a second and exits, sockets and all, as many do · `tells`: goes on for a while,
closes each socket with 1001, then exits · `faults`: closes each with 1011.
"""

import asyncio
import http
import os
import signal
import sys

from websockets.asyncio.server import ServerConnection, serve

behaviour = sys.argv[1]


async def hold(connection: ServerConnection) -> None:
    async for message in connection:
        await connection.send(message)


def plain(connection: ServerConnection, request) -> object:
    if "Upgrade" not in request.headers:
        return connection.respond(http.HTTPStatus.OK, "ok\n")
    return None


async def main() -> None:
    told = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told.set)
    async with serve(hold, "0.0.0.0", int(os.environ["PORT"]), process_request=plain) as server:
        await told.wait()
        if behaviour == "leaves":
            server.close(close_connections=False)
            await asyncio.sleep(1)
            os._exit(0)
        await asyncio.sleep(2)
        code = 1011 if behaviour == "faults" else 1001
        await asyncio.gather(*(each.close(code, "bye") for each in list(server.connections)))
        os._exit(0)


asyncio.run(main())
