"""The questions of HTTP/2 and gRPC alone: streams on one connection, and who watches gRPC's health service.

Law: as in `questions`.
"""

from __future__ import annotations

import asyncio
import time

from lameduck.core.shutdown import OFFSETS_MS, Health, Question
from lameduck.score import questions
from lameduck.score.frames import GRPC_UNIMPLEMENTED, messages
from lameduck.score.http2 import Http2Client
from lameduck.score.questions import PATIENCE, AnyClient, Notes, pool, slow_of, use
from lameduck.score.request import Request
from lameduck.score.server import Server

WATCH = Request("/grpc.health.v1.Health/Watch")
STATUSES = {0: "UNKNOWN", 1: "SERVING", 2: "NOT_SERVING", 3: "SERVICE_UNKNOWN"}
WATCHING = "health service"


async def late(server: Server, notes: Notes) -> None:
    """Streams on idle connections of clients that have not read the GOAWAY."""
    await use(server, Question.LATE, notes, await pool(server, len(OFFSETS_MS)), look=False)


async def shared(server: Server, notes: Notes) -> None:
    """Streams on the connection of a stream in flight, by a client that looks for a GOAWAY before each."""
    await _beside(server, Question.IDLE_BUSY, notes, look=True)


async def late_shared(server: Server, notes: Notes) -> None:
    """The same by one that has not read it."""
    await _beside(server, Question.LATE_BUSY, notes, look=False)


async def _beside(server: Server, question: Question, notes: Notes, *, look: bool) -> None:
    clients: list[AnyClient] = await pool(server, 1)
    slow = asyncio.create_task(clients[0].ask(slow_of(server), PATIENCE))
    await server.pause(0.1)
    await use(server, question, notes, clients * len(OFFSETS_MS), look=look)
    await slow


async def health(server: Server, notes: Notes) -> None:
    """What a client is told that watches grpc.health.v1.Health, from the signal until the watch ends."""
    client = await questions.opened(server)
    assert isinstance(client, Http2Client)
    await client.send(WATCH)
    watch = client.last_stream
    seen: list[Health] = []
    first = await client.heard(watch, 2)
    if first is None:
        unknown = client.session.streams[watch].grpc_status == GRPC_UNIMPLEMENTED
        notes.not_asked[WATCHING] = "it has none" if unknown else "nobody could watch it"
        client.close()
        return
    await asyncio.sleep(0.2)
    known = len(messages(client.session.streams[watch].body))
    server.tell()
    while time.monotonic_ns() - server.signalled < PATIENCE * 1e9:
        body = await client.heard(watch, PATIENCE)
        after = time.monotonic_ns() - server.signalled
        if body is None:
            seen.append(Health("ended" if client.over(watch) else "open", after))
            break
        seen += [Health(status_of(said), after) for said in messages(body)[known:]]
        known = len(messages(body))
    notes.health = tuple(seen)
    client.close()


def status_of(message: bytes) -> str:
    """grpc.health.v1.HealthCheckResponse: its only field, 1, is a varint."""
    return STATUSES.get(message[1] if len(message) >= 2 and message[0] == 8 else 0, "UNKNOWN")
