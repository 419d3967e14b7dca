"""HTTP/2 under hypercorn: clients are asked to leave by a GOAWAY that refuses nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from layer_wire import ENDED, PATIENCE, Server

from lameduck.core.shutdown import GOOD
from lameduck.score.http2 import Http2Client
from lameduck.score.request import Request
from lameduck_pod import asgi

HYPERCORN = ["hypercorn", "-w", "0", "-b", "127.0.0.1:{port}", "asgi_app:app"]
ALL = 2**31 - 1


async def client(port: int) -> Http2Client:
    one = Http2Client(port)
    assert await one.connect() is None
    return one


async def told(one: Http2Client) -> list[tuple[int, int]]:
    async with asyncio.timeout(PATIENCE):
        while not one.goaways:
            await asyncio.sleep(0.02)
    return one.session.goaways


def test_hypercorns_clients_are_told_to_leave_and_lose_nothing(start: Callable[..., Server]) -> None:
    server = start(HYPERCORN, LAMEDUCK_LEAST="1", LAMEDUCK_QUIET="60", LAMEDUCK_MOST="100")
    fast, slow = Request(path="/fast"), Request(path="/slow")

    async def around_the_signal() -> list[Any]:
        idle, busy = await client(server.port), await client(server.port)
        answers = [await idle.ask(fast), await busy.ask(fast)]
        assert idle.goaways == busy.goaways == []
        await busy.send(slow)
        server.signal()
        server.event("lame-duck")
        answers.append(await busy.finish(PATIENCE))
        goaways = [await told(idle), await told(busy)]
        new = await client(server.port)
        answers += [await new.ask(fast, PATIENCE), await idle.ask(fast, PATIENCE, look=False)]
        goaways.append(await told(new))
        for one in (idle, busy, new):
            one.close()
        assert GOOD.issuperset(answers)
        return goaways

    assert asyncio.run(around_the_signal()) == [[(ALL, 0)]] * 3
    server.signal()  # a second one means at once
    assert server.event("drained")["in_flight"] == 0
    assert server.wait() in ENDED


class Stream:
    """What an ASGI `send` could belong to in another version of hypercorn."""

    def __init__(self) -> None:
        self.said: list[Any] = []
        self.send = "not a method"

    async def app_send(self, message: Any) -> None:
        self.said.append(message["type"])


Stream.__module__ = "hypercorn.protocol.http_stream"


def test_a_hypercorn_that_is_built_otherwise_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAMEDUCK_JOURNAL", "none")
    stream = Stream()

    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    layered = asgi.LameDuck(app, least=0)
    layered.layer.lame = True
    scope = {"type": "http", "path": "/", "headers": [], "http_version": "2", "method": "GET"}
    asyncio.run(layered(scope, None, stream.app_send))  # type: ignore[arg-type]
    assert stream.said == ["http.response.start", "http.response.body"]
    assert not layered.layer.watchers
