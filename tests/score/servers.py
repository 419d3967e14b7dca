"""A server of known behaviour: `python servers.py BEHAVIOUR PORT`; "leaves" a child, "leaves the port" to a
child; "8 seats": a kept-alive connection keeps one of so many until it ends."""

import asyncio
import os
import signal
import subprocess
import sys

BEHAVIOUR, PORT = sys.argv[1], int(sys.argv[2])
lame = asyncio.Event()
seats = asyncio.Semaphore(int(BEHAVIOUR.split()[0]) if BEHAVIOUR.endswith("seats") else 1000)
in_hand = 0


async def seated(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    async with seats:
        await serve(reader, writer)


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    global in_hand
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            in_hand += 1
            if b"/slow" in head or b"/hang" in head:
                await asyncio.sleep(1 if b"/slow" in head else 60)
            last = b"Connection: close\r\n" if lame.is_set() else b""
            status = b"404 Not Found" if b"/nothing" in head else b"200 OK"
            writer.write(b"HTTP/1.1 " + status + b"\r\nContent-Length: 2\r\n" + last + b"\r\nok")
            in_hand -= 1
            if last:
                break
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    writer.close()


async def main() -> None:
    server = await asyncio.start_server(seated, "127.0.0.1", PORT, backlog=512)
    os.set_inheritable(server.sockets[0].fileno(), BEHAVIOUR == "leaves the port")
    if BEHAVIOUR != "none":
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, lame.set)
    await lame.wait()
    if BEHAVIOUR == "lame duck" or BEHAVIOUR.endswith("seats"):
        await asyncio.sleep(1.5)
    if BEHAVIOUR != "leaves the port":
        server.close()
    while in_hand:
        await asyncio.sleep(0.01)
    if BEHAVIOUR == "leaves":
        subprocess.Popen(["sleep", "20"])
    if BEHAVIOUR == "leaves the port" and os.fork() == 0:
        os.execvp("sleep", ["sleep", "20"])


asyncio.run(main())
