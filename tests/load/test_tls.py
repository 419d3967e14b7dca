"""The same exchanges through TLS, and the failures that are TLS's own."""

import asyncio
import ssl

import pytest
from tests.load.conftest import Authority
from tests.load.servers import ANSWER, Behaviour, Peer, Server, Unstalled, dialer, hold, reset, says, well_behaved

from lameduck.core.exchange import Exchange, Failure, Kind, Lane, Stage
from lameduck.core.instants import MILLISECOND, SECOND
from lameduck.core.plan import RequestShape, TrafficPlan
from lameduck.load.engine import Engine
from lameduck.load.loops import fastest_loop


def server_context(authority: Authority) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.certificate, authority.key)
    return context


def drive(server: Server, authority: Authority | None, *, name: str = "localhost", **plan: object) -> Engine:
    settings = {
        "rate": 50,
        "duration": SECOND,
        "timeout": 600 * MILLISECOND,
        "connect_timeout": 500 * MILLISECOND,
    } | plan

    async def main() -> Engine:
        async with server:
            context = ssl.create_default_context(cafile=authority and authority.certificate)
            traffic = TrafficPlan(**settings)
            to = dialer(server.port)
            engine = Engine(traffic, to, host="test", tls=context, server_name=name, clock=Unstalled())
            await engine.run()
            return engine

    with asyncio.Runner(loop_factory=fastest_loop) as runner:
        return runner.run(main())


def one(behaviour: Behaviour, authority: Authority, trusted: Authority | None, **more: object) -> Exchange:
    server = Server(behaviour, ssl=server_context(authority))
    engine = drive(server, trusted, rate=1, duration=SECOND // 10, **more)
    assert len(engine.recording) == 1
    return engine.recording.exchange(0)


def test_both_lanes_work_and_kept_alive_connections_are_used_again(authority: Authority) -> None:
    server = Server(well_behaved, ssl=server_context(authority))
    engine = drive(server, authority, rate=40, connections=4, timeout=5 * SECOND, connect_timeout=5 * SECOND)
    found = [engine.recording.exchange(seq) for seq in range(len(engine.recording))]
    assert engine.recording.failed == 0
    assert {each.lane for each in found} == {Lane.NEW, Lane.REUSE}
    reused = [each for each in found if each.nth_on_connection > 1]
    assert reused
    assert all(each.lane is Lane.REUSE and each.status == 200 and each.size == 2 for each in reused)


def test_the_server_is_asked_for_its_name(authority: Authority) -> None:
    asked = []
    context = server_context(authority)
    context.sni_callback = lambda _socket, name, _context: asked.append(name)
    drive(Server(well_behaved, ssl=context), authority, rate=5)
    assert set(asked) == {"localhost"}


@pytest.mark.parametrize(
    ("name", "trusts", "reason"),
    [("localhost", False, "self-signed certificate"), ("other", True, "Hostname mismatch")],
)
def test_a_certificate_that_is_not_trusted_is_refused(
    authority: Authority, name: str, trusts: bool, reason: str
) -> None:
    exchange = one(well_behaved, authority, authority if trusts else None, name=name)
    assert exchange.failure is not None
    assert (exchange.failure.stage, exchange.failure.kind) == (Stage.TLS, Kind.PROTOCOL)
    assert reason in exchange.failure.detail
    assert exchange.connected is not None
    assert exchange.sent is None


def outcome(failure: Failure | None) -> tuple[Stage, Kind] | None:
    return failure and (failure.stage, failure.kind)


async def silent(peer: Peer) -> None:
    await peer.reader.read(1)
    await hold(peer)


async def leaves(peer: Peer) -> None:
    await peer.reader.read(1)


async def breaks(peer: Peer) -> None:
    await peer.reader.read(1)
    peer.reset()


async def talks_http(peer: Peer) -> None:
    await peer.reader.read(1)
    peer.say(b"HTTP/1.1 400 Bad Request\r\n\r\n")


@pytest.mark.parametrize("lane", Lane)
@pytest.mark.parametrize(
    ("behaviour", "kind"),
    [(silent, Kind.TIMEOUT), (leaves, Kind.CLOSED), (breaks, Kind.RESET), (talks_http, Kind.PROTOCOL)],
)
def test_a_handshake_that_fails_is_at_stage_tls(behaviour: Behaviour, kind: Kind, lane: Lane) -> None:
    engine = drive(Server(behaviour), None, rate=1, duration=SECOND // 10, lanes=((lane, 1.0),))
    assert outcome(engine.recording.exchange(0).failure) == (Stage.TLS, kind)


@pytest.mark.parametrize(
    ("behaviour", "expected"),
    [
        (says(then=hold), (Stage.AWAIT, Kind.TIMEOUT)),
        (says(), (Stage.AWAIT, Kind.CLOSED)),
        (says(then=reset), (Stage.AWAIT, Kind.RESET)),
        (says(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nok"), (Stage.READ, Kind.TRUNCATED)),
        (says(b"HTTP/1.1 200 OK\r\n\r\nuntil the end"), None),
        (says(b"HTTP/1.1 200 OK\r\n\r\nuntil", b" the", then=reset), (Stage.READ, Kind.TRUNCATED)),
        (says(ANSWER + b"junk", then=hold), None),
    ],
)
def test_after_the_handshake_stages_and_kinds_are_the_same(
    authority: Authority, behaviour: Behaviour, expected: tuple[Stage, Kind] | None
) -> None:
    failure = one(behaviour, authority, authority).failure
    if expected == (Stage.AWAIT, Kind.RESET):  # aborting a TLS stream shows as an end or as a reset
        assert outcome(failure) in {expected, (Stage.AWAIT, Kind.CLOSED)}
    else:
        assert outcome(failure) == expected


def test_large_bodies_go_both_ways(authority: Authority) -> None:
    async def echo(peer: Peer) -> None:
        await peer.request()
        body = await peer.reader.readexactly(5_000_000)
        peer.say(b"HTTP/1.1 200 OK\r\nContent-Length: 5000000\r\n\r\n" + body)
        await hold(peer)

    shape = RequestShape(method="POST", body=b"x" * 5_000_000)
    exchange = one(echo, authority, authority, timeout=5 * SECOND, requests=(shape,))
    assert (exchange.failure, exchange.size) == (None, 5_000_000)


def test_a_closed_idle_connection_is_seen_by_looking(authority: Authority) -> None:
    server = Server(says(ANSWER), ssl=server_context(authority))
    engine = drive(server, authority, rate=20, lanes=((Lane.REUSE, 1.0),))
    assert engine.recording.failed == 0
    assert engine.recording.closed_idle >= 10
