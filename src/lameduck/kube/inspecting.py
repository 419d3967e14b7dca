"""What a pod's process 1 is, and whether it has a handler for SIGTERM: asked by ``cat`` in the container, once.

Law: it is an exec, so it is done only when asked for, and what cannot be read (no right, no ``cat``) is not known,
never guessed. Only of a shell is anything concluded: it neither waits in sigwait nor changes its name, as inits and
servers do, so that what its status says holds.

The protocol is Kubernetes' ``v5.channel.k8s.io`` on a WebSocket (RFC 6455); nothing is sent, so only frames of a server
have to be read.
"""

from __future__ import annotations

import asyncio
import base64
import os
import signal
from collections.abc import Awaitable, Callable
from typing import Any

from lameduck.core.errors import LameduckError
from lameduck.kube.api import Api, path
from lameduck.manifests.programs import SHELLS, base

STDOUT = 1
"""The channel, the first byte of a message."""
MOST = 1 << 20
PATIENCE = 5.0
QUESTION = ("cat", "/proc/1/status", "/proc/1/cmdline")
TEXT, BINARY, CLOSE, CONTINUED = 1, 2, 8, 0


async def process_one(api: Api, namespace: str, pod: str, container: str) -> dict[str, Any]:
    """The detail of STOP_SIGNAL that `reaction` gives; {} where nothing can be known."""
    try:
        async with asyncio.timeout(PATIENCE):
            said = await _ask(api, namespace, pod, container)
    except (LameduckError, OSError, ValueError, TimeoutError, asyncio.IncompleteReadError):
        return {}
    return reaction(said)


def reaction(said: bytes) -> dict[str, Any]:
    """What the status and the command line of process 1 say, if it is a shell."""
    text = said.decode(errors="replace")
    lines, _, rest = text.rpartition("\n")
    status = {name: value.strip() for name, _, value in (line.partition(":") for line in lines.splitlines())}
    name = base(rest.split("\0")[0].lstrip("-"))
    if name not in SHELLS or "SigCgt" not in status or "SigIgn" not in status:
        return {}
    bit = 1 << (signal.SIGTERM - 1)
    caught, ignored = (bool(int(status[key], 16) & bit) for key in ("SigCgt", "SigIgn"))
    return {"pid1": name, "caught": caught, "ignored": ignored, "is_shell": True}


async def _ask(api: Api, namespace: str, pod: str, container: str) -> bytes:
    params = [("command", word) for word in QUESTION] + [("container", container), ("stdout", "true")]
    headers = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
        "Sec-WebSocket-Protocol": "v5.channel.k8s.io",
    }
    async with api.upgraded(path("pods", namespace, pod, "exec"), params, headers) as read:
        return await output(_exactly(read))


def _exactly(read: Callable[[], Awaitable[bytes]]) -> Callable[[int], Awaitable[bytes]]:
    """Reads of so many bytes from reads of any size."""
    held = bytearray()

    async def exactly(count: int) -> bytes:
        while len(held) < count:
            data = await read()
            if not data:
                raise asyncio.IncompleteReadError(bytes(held), count)
            held.extend(data)
        taken = bytes(held[:count])
        del held[:count]
        return taken

    return exactly


async def output(exactly: Callable[[int], Awaitable[bytes]]) -> bytes:
    """All that a command wrote to its standard output. Raises `ValueError` for what is no such conversation."""
    said, message = bytearray(), bytearray()
    while len(said) < MOST:
        first, second = await exactly(2)
        length = second & 0x7F
        if length == 126:
            length = int.from_bytes(await exactly(2), "big")
        elif length == 127:
            length = int.from_bytes(await exactly(8), "big")
        if second & 0x80 or length > MOST:
            raise ValueError("not a server's frame")
        payload = await exactly(length)
        opcode = first & 0x0F
        if opcode == CLOSE:
            break
        if opcode not in {TEXT, BINARY, CONTINUED}:
            continue  # a ping: it is over before anybody misses the pong
        message += payload
        if first & 0x80:
            if message[:1] == bytes([STDOUT]):
                said += message[1:]
            message.clear()
    return bytes(said)
