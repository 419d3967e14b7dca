"""One exchange against a server that behaves in one known way: its stage, its kind, its times."""

import asyncio
import errno
from collections.abc import Callable

import pytest
from tests.load.servers import (
    ANSWER,
    Behaviour,
    Peer,
    Server,
    Unstalled,
    blackhole,
    dialer,
    hold,
    reset,
    says,
    well_behaved,
)

from lameduck.cluster import Route
from lameduck.core.exchange import Exchange, Failure, Kind, Lane, Stage
from lameduck.core.instants import MILLISECOND, SECOND
from lameduck.core.plan import BodyExpectation, RequestShape, TrafficPlan
from lameduck.load.engine import Engine
from lameduck.load.loops import fastest_loop

TIMEOUT = 400 * MILLISECOND


def one(
    server: Server, lane: Lane = Lane.REUSE, timeout: int = TIMEOUT, clock: Unstalled | None = None, **request: object
) -> Exchange:
    async def main() -> Exchange:
        async with server:
            return await _one(server.port, lane, clock, timeout=timeout, requests=(RequestShape(**request),))

    with asyncio.Runner(loop_factory=fastest_loop) as runner:
        return runner.run(main())


async def _one(port: int, lane: Lane, clock: Callable[[], int] | None = None, **plan: object) -> Exchange:
    traffic = TrafficPlan(rate=1, duration=SECOND // 10, lanes=((lane, 1.0),), **plan)
    engine = Engine(traffic, dialer(port), host="test", clock=clock or Unstalled())
    await engine.run()
    assert len(engine.recording) == 1
    return engine.recording.exchange(0)


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
        (says(b"HTTP/1.1 200 OK\r\n\r\nuntil", b" the", then=reset), (Stage.READ, Kind.TRUNCATED)),
        (says(b"SSH-2.0-OpenSSH_9.2\r\n"), (Stage.READ, Kind.PROTOCOL)),
        (says(b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n", then=hold), (Stage.VALIDATE, Kind.BAD_STATUS)),
        (says(b"HTTP/1.1 503 No\r\nContent-Length: 9\r\n\r\n"), (Stage.READ, Kind.TRUNCATED)),
        (says(b"HTTP/1.1 100 Continue\r\n\r\n"), (Stage.AWAIT, Kind.CLOSED)),
        (says(b"HTTP/1.1 100 Continue\r\n\r\n", ANSWER, then=hold), None),
        (says(b"HTTP/1.1 200 OK\r\n\r\nuntil the end"), None),
        (says(b"HTTP/1.0 200 OK\r\n\r\nuntil the", b" end"), None),
        (says(ANSWER + b"HTTP/1.1 200 OK"), None),
        (says(ANSWER + b"junk", then=hold), None),
        (says(b"HTTP/1.1 204 No Content\r\n\r\n", then=hold), None),
        (says(*(bytes([byte]) for byte in ANSWER[-9:]), first=ANSWER[:-9], then=hold), None),
        (says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", then=hold), None),
    ],
)
def test_each_misbehaviour_has_its_stage_and_kind(
    behaviour: Behaviour, expected: tuple[Stage, Kind] | None, lane: Lane
) -> None:
    assert outcome(one(Server(behaviour), lane).failure) == expected


def test_a_time_out_comes_when_it_is_due() -> None:
    exchange = one(Server(says(then=hold)))
    assert exchange.service_time == pytest.approx(TIMEOUT, abs=100 * MILLISECOND)
    assert (exchange.sent is None, exchange.first_byte) == (False, None)


def test_the_first_byte_is_that_of_the_final_answer() -> None:
    clock = Unstalled()

    async def late(peer: Peer) -> None:
        await peer.request()
        peer.say(b"HTTP/1.1 100 Continue\r\n\r\n")
        await clock.sleep(0.1)
        peer.say(ANSWER)

    exchange = one(Server(late), clock=clock)
    assert exchange.failure is None
    assert exchange.first_byte - exchange.sent > 80 * MILLISECOND


def test_a_port_without_a_listener_refuses() -> None:
    exchange = asyncio.run(_one(1, Lane.NEW))
    assert exchange.failure == Failure(Stage.CONNECT, Kind.REFUSED, errno.ECONNREFUSED, "Connection refused")
    assert (exchange.connected, exchange.connection) == (None, 0)
    assert exchange.local_port, "the port tells which pod was asked, where the kernel tracks connections"


@pytest.mark.parametrize("lane", Lane)
def test_a_syn_that_nobody_answers_times_out_at_connect(lane: Lane) -> None:
    listener, fillers = blackhole()
    exchange = asyncio.run(_one(listener.getsockname()[1], lane, connect_timeout=TIMEOUT, timeout=2 * SECOND))
    assert outcome(exchange.failure) == (Stage.CONNECT, Kind.TIMEOUT)
    assert exchange.service_time == pytest.approx(TIMEOUT, abs=100 * MILLISECOND)
    for each in (listener, *fillers):
        each.close()


def test_a_connection_that_is_made_late_is_used_like_any_other() -> None:
    """A lost SYN is sent again after a second: the connection then comes through the loop, not at once."""
    listener, fillers = blackhole()

    class Frees:
        """Makes room in the queue some time after the first SYN, which nobody answers."""

        def dial(self) -> Route:
            asyncio.get_running_loop().call_later(0.3, free)
            return dialer(listener.getsockname()[1]).dial()

    async def main() -> Exchange:
        traffic = TrafficPlan(rate=1, duration=SECOND // 10, lanes=((Lane.NEW, 1.0),), timeout=8 * SECOND)
        engine = Engine(traffic, Frees(), host="test")
        await engine.run()
        return engine.recording.exchange(0)

    def free() -> None:
        listener.setblocking(False)
        while True:
            try:
                accepted, _ = listener.accept()
            except BlockingIOError:
                break
            accepted.close()
        asyncio.ensure_future(asyncio.start_server(serve, sock=listener))  # noqa: RUF006

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await well_behaved(Peer(reader, writer))

    exchange = asyncio.run(main())
    assert exchange.failure is None
    assert exchange.connected - exchange.actual_start > SECOND // 2
    for each in fillers:
        each.close()


@pytest.mark.parametrize("lane", Lane)
def test_a_body_of_any_length_is_sent_whole(lane: Lane) -> None:
    async def measure(peer: Peer) -> None:
        await peer.request()
        await peer.reader.readexactly(20_000_000)
        peer.say(ANSWER)
        await hold(peer)

    exchange = one(Server(measure), lane, timeout=5 * SECOND, method="POST", body=b"x" * 20_000_000)
    assert exchange.failure is None


def test_an_answer_that_comes_before_the_request_is_sent_is_the_answer() -> None:
    async def impatient(peer: Peer) -> None:
        await peer.request()
        peer.say(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n")
        await hold(peer)

    exchange = one(Server(impatient), method="POST", body=b"x" * 20_000_000)
    assert exchange.failure == Failure(Stage.VALIDATE, Kind.BAD_STATUS, 0, "answered 413")
    assert exchange.sent is None


def test_an_answer_is_read_even_if_the_server_closes_before_the_request_is_sent() -> None:
    async def slams(peer: Peer) -> None:
        await peer.request()
        peer.say(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n")
        await peer.writer.drain()
        peer.writer.write_eof()
        await asyncio.sleep(0.1)

    exchange = one(Server(slams), method="POST", body=b"x" * 20_000_000)
    assert outcome(exchange.failure) == (Stage.VALIDATE, Kind.BAD_STATUS)


@pytest.mark.parametrize("kind", [Kind.RESET, Kind.CLOSED, Kind.TIMEOUT])
def test_a_request_that_cannot_be_sent_to_its_end_fails_at_send(kind: Kind) -> None:
    async def behave(peer: Peer) -> None:
        await peer.request()
        if kind is Kind.RESET:
            peer.reset()
        elif kind is Kind.CLOSED:
            peer.writer.write_eof()
            await asyncio.sleep(0.2)
        else:
            peer.writer.transport.pause_reading()
            await asyncio.sleep(60)  # longer than anybody waits

    exchange = one(Server(behave), method="POST", body=b"x" * 20_000_000)
    assert outcome(exchange.failure) == (Stage.SEND, kind)


def test_the_answer_to_head_has_no_body_whatever_it_says() -> None:
    exchange = one(Server(says(b"HTTP/1.1 200 OK\r\nContent-Length: 400\r\n\r\n", then=hold)), method="HEAD")
    assert (exchange.failure, exchange.size) == (None, 0)


def test_a_body_of_hundreds_of_megabytes_is_counted_and_not_kept() -> None:
    piece = b"z" * 1_000_000

    async def floods(peer: Peer) -> None:
        await peer.request()
        peer.say(b"HTTP/1.1 200 OK\r\nContent-Length: 400000000\r\n\r\n")
        for _ in range(400):
            peer.say(piece)
            await peer.writer.drain()

    exchange = one(Server(floods), timeout=30 * SECOND)
    assert (exchange.failure, exchange.size) == (None, 400_000_000)


@pytest.mark.parametrize(("text", "kind"), [("ok", None), ("no", Kind.BAD_BODY)])
def test_a_wrong_body_is_found_when_it_is_whole(text: str, kind: Kind | None) -> None:
    exchange = one(Server(well_behaved), expect_body=BodyExpectation(contains=text))
    assert outcome(exchange.failure) == (kind and (Stage.VALIDATE, kind))


def test_a_body_that_is_cut_is_truncated_even_where_its_beginning_is_right() -> None:
    server = Server(says(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok"))
    assert outcome(one(server, expect_body=BodyExpectation(contains="ok")).failure) == (Stage.READ, Kind.TRUNCATED)
