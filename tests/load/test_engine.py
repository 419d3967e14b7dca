"""The engine against real servers that behave in one known way each."""

import asyncio
import errno

import pytest
from tests.load.servers import ANSWER, Behaviour, Peer, Server, dialer, hold, reset, says, well_behaved

from lameduck.core.exchange import Exchange, Failure, Kind, Lane, Stage
from lameduck.core.instants import MILLISECOND, SECOND
from lameduck.core.plan import RequestShape, TrafficPlan
from lameduck.load.engine import Engine


def run(plan: TrafficPlan, server: Server) -> Engine:
    async def main() -> Engine:
        async with server:
            engine = Engine(plan, dialer(server.port), host="test")
            await engine.run()
            return engine

    return asyncio.run(main())


def one(server: Server, lane: Lane = Lane.REUSE, **request: object) -> Exchange:
    plan = TrafficPlan(
        rate=1, duration=SECOND, lanes=((lane, 1.0),), requests=(RequestShape(**request),), timeout=SECOND // 2
    )
    return run(plan, server).recording.exchange(0)


def outcome(failure: Failure | None) -> tuple[Stage, Kind] | None:
    return failure and (failure.stage, failure.kind)


@pytest.mark.parametrize("lane", Lane)
def test_a_whole_answer_is_no_failure_and_all_its_times_are_in_order(lane: Lane) -> None:
    exchange = one(Server(well_behaved), lane)
    assert exchange.failure is None
    assert (exchange.status, exchange.size, exchange.served_by, exchange.lane) == (200, 2, "a", lane)
    times = [exchange.intended_start, exchange.actual_start, exchange.connected, exchange.sent, exchange.first_byte]
    assert None not in times
    assert [*times, exchange.finished] == sorted([*times, exchange.finished])


@pytest.mark.parametrize("lane", Lane)
@pytest.mark.parametrize(
    ("behaviour", "expected"),
    [
        (says(), (Stage.AWAIT, Kind.CLOSED)),
        (says(then=reset), (Stage.AWAIT, Kind.RESET)),
        (says(then=hold), (Stage.AWAIT, Kind.TIMEOUT)),
        (says(b"HTTP/1.1 200 OK\r\nCont"), (Stage.READ, Kind.TRUNCATED)),
        (says(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nok"), (Stage.READ, Kind.TRUNCATED)),
        (says(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", b"ok", then=reset), (Stage.READ, Kind.TRUNCATED)),
        (says(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nok", then=hold), (Stage.READ, Kind.TIMEOUT)),
        (says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n"), (Stage.READ, Kind.TRUNCATED)),
        (says(b"SSH-2.0-OpenSSH_9.2\r\n"), (Stage.READ, Kind.PROTOCOL)),
        (says(b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n", then=hold), (Stage.VALIDATE, Kind.BAD_STATUS)),
        (says(b"HTTP/1.1 100 Continue\r\n\r\n"), (Stage.AWAIT, Kind.CLOSED)),
        (says(b"HTTP/1.1 100 Continue\r\n\r\n", ANSWER, then=hold), None),
        (says(b"HTTP/1.1 200 OK\r\n\r\nuntil the end"), None),
        (says(b"HTTP/1.0 200 OK\r\n\r\nuntil the", b" end"), None),
        (says(ANSWER + b"HTTP/1.1 200 OK"), None),
        (says(ANSWER + b"junk", then=hold), None),
        (says(b"HTTP/1.1 204 No Content\r\n\r\n", then=hold), None),
        (says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", then=hold), None),
    ],
)
def test_each_misbehaviour_has_its_stage_and_kind(
    behaviour: Behaviour, expected: tuple[Stage, Kind] | None, lane: Lane
) -> None:
    assert outcome(one(Server(behaviour), lane).failure) == expected


def test_a_port_without_a_listener_refuses() -> None:
    plan = TrafficPlan(rate=10, duration=SECOND // 2)
    engine = Engine(plan, dialer(1), host="test")
    asyncio.run(engine.run())
    assert {exchange.failure for exchange in engine.recording.failed_exchanges()} == {
        Failure(Stage.CONNECT, Kind.REFUSED, errno.ECONNREFUSED, "Connection refused")
    }
    assert engine.recording.failed == 5


def test_a_server_that_stalls_does_not_thin_out_the_load() -> None:
    stalled = asyncio.Event()

    async def stalls(peer: Peer) -> None:
        while await peer.request():
            await stalled.wait()
            peer.say(ANSWER)

    async def main() -> Engine:
        async with Server(stalls) as server:
            plan = TrafficPlan(rate=200, duration=3 * SECOND)
            engine = Engine(plan, dialer(server.port), host="test")
            asyncio.get_running_loop().call_later(2, stalled.set)
            await engine.run()
            return engine

    engine = asyncio.run(main())
    exchanges = [engine.recording.exchange(seq) for seq in range(len(engine.recording))]
    assert len(exchanges) == 600
    assert engine.recording.failed == 0
    assert max(exchange.start_delay for exchange in exchanges) < 500 * MILLISECOND
    assert max(exchange.response_time for exchange in exchanges) > 1.9 * SECOND
    assert sum(exchange.response_time > SECOND for exchange in exchanges) == pytest.approx(200, abs=10)
