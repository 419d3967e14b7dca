"""The middleware cases of the field (C99, C101, C103), with the layer and, where they say so, without."""

from __future__ import annotations

import asyncio
import random
import signal
import time

import pytest
from layer_wire import ENDED, GTHREAD, UVICORN, Connection, fresh

CLIENTS, THINKING = 500, 0.1


@pytest.mark.parametrize("command", [UVICORN, GTHREAD], ids=["uvicorn", "gunicorn gthread"])
def test_c99_readiness_fails_liveness_does_not_and_the_rest_is_served(command, start) -> None:
    server = start(
        command,
        held=True,
        LAMEDUCK_LEAST="0.5",
        LAMEDUCK_QUIET="0.2",
        LAMEDUCK_READINESS="fail",
        LAMEDUCK_READINESS_PATH="/ready",
    )
    before, during = Connection(server.port), Connection(server.port)
    assert fresh(server.port, "/ready").status == fresh(server.port, "/live").status == 200
    before.send("/slow")
    fresh(server.port, "/fast")  # it is in hand: it came before
    told = server.signal()
    server.event("lame-duck")
    assert fresh(server.port, "/ready").status == 503
    during.send("/slow")
    while time.monotonic() < told + 0.8:  # as long as something is in hand, its least time over or not
        assert [fresh(server.port, path).status for path in ("/ready", "/live", "/fast")] == [503, 200, 200]
    server.release()
    for slow in (before, during):
        assert slow.answer().status == 200
        slow.close()
    assert server.wait() in ENDED
    with pytest.raises(ConnectionRefusedError):
        Connection(server.port)


@pytest.mark.parametrize("command", [UVICORN, GTHREAD], ids=["uvicorn", "gunicorn gthread"])
def test_c99_a_stop_while_it_starts_is_honoured(command, start) -> None:
    server = start(command, serving=False, LOADING="1", LAMEDUCK_LEAST="0.2", LAMEDUCK_QUIET="0")
    server.said_line("loading")
    server.signal()
    assert server.wait() in (0, -signal.SIGTERM)


@pytest.mark.parametrize("command", [UVICORN, GTHREAD], ids=["uvicorn", "gunicorn gthread"])
def test_c101_five_hundred_pooled_connections_lose_nothing(command, start) -> None:
    assert _lost(start(command, LAMEDUCK_LEAST="10", LAMEDUCK_MOST="20")) == 0  # all have left long before


def test_c101_and_without_the_layer_they_do(start) -> None:
    assert _lost(start(UVICORN, LAYER="off")) > 0  # not gunicorn 27: it keeps idle connections for 2 s and says close


def _lost(server) -> int:
    """How many of the clients met a connection that ended without an answer, from before the signal to the end.

    Each has one connection, thinks for a while (Poisson) and asks again, and goes elsewhere once it is told to leave.
    """
    rng = random.Random(4)

    async def client() -> int:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        try:
            while True:
                await asyncio.sleep(rng.expovariate(1 / THINKING))
                writer.write(b"GET /fast HTTP/1.1\r\nHost: test\r\n\r\n")
                head = await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(2)
                if b"connection: close" in head.lower():
                    return 0
        except (OSError, asyncio.IncompleteReadError):
            return 1
        finally:
            writer.close()

    async def crowd() -> int:
        clients = [asyncio.create_task(client()) for _ in range(CLIENTS)]
        await asyncio.sleep(1)
        server.signal()
        return sum(await asyncio.wait_for(asyncio.gather(*clients), 30))

    return asyncio.run(crowd())


def test_c103_the_delay_is_inside_and_can_be_nothing(start) -> None:
    server = start(UVICORN, LAMEDUCK_LEAST="2", LAMEDUCK_QUIET="0.1", LAMEDUCK_MOST="8")
    told = server.signal()
    server.event("lame-duck")
    while time.monotonic() < told + 0.7:  # and not longer: this machine may stall
        assert fresh(server.port, "/fast").last
    assert server.wait() in ENDED
    assert time.monotonic() >= told + 2
    server = start(UVICORN, LAMEDUCK_LEAST="0", LAMEDUCK_QUIET="0")
    told = server.signal()
    server.wait()
    assert time.monotonic() - told < 3, "less than its least time if nothing is said"
