"""The engine as a whole: open loop, its pool, its limits, its end."""

import asyncio
import errno
import gc
import os
import resource
import socket
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from tests.load.servers import ANSWER, Peer, Server, Unstalled, dialer, hold, says, well_behaved

from lameduck.cluster import Route
from lameduck.core.exchange import Exchange, Failure, Kind, Lane, Stage
from lameduck.core.instants import MILLISECOND, SECOND
from lameduck.core.plan import ArrivalProcess, RequestShape, TrafficPlan
from lameduck.load import failures
from lameduck.load.answer import Answer
from lameduck.load.connection import Connection
from lameduck.load.engine import LATEST, Engine
from lameduck.load.loops import fastest_loop

REUSE = ((Lane.REUSE, 1.0),)
NEW = ((Lane.NEW, 1.0),)


def run(plan: TrafficPlan, server: Server, during: object = None, clock: Callable[[], int] | None = None) -> Engine:
    """Run a plan against a server; `during(engine)` is a coroutine function that runs beside it."""

    async def main() -> Engine:
        async with server:
            engine = Engine(plan, dialer(server.port), host="test", clock=clock or Unstalled())
            beside = asyncio.ensure_future(during(engine)) if during else None
            await engine.run()
            if beside:
                await beside
            return engine

    with asyncio.Runner(loop_factory=fastest_loop) as runner:
        return runner.run(main())


def exchanges(engine: Engine) -> list[Exchange]:
    return [engine.recording.exchange(seq) for seq in range(len(engine.recording))]


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_stop_that_comes_before_it_has_begun_is_not_lost() -> None:
    async def main() -> Engine:
        async with Server(well_behaved) as server:
            engine = Engine(TrafficPlan(rate=200), dialer(server.port), host="test")
            sending = asyncio.create_task(engine.run(bounded=False))
            engine.stop()
            async with asyncio.timeout(30):
                await sending
            return engine

    engine = asyncio.run(main())
    assert len(engine.recording) == 0
    assert engine.watch.ended == engine.watch.started


def test_both_lanes_get_their_share_each_with_its_own_connections() -> None:
    server = Server(well_behaved)
    engine = run(TrafficPlan(rate=100, duration=3 * SECOND), server)
    found = exchanges(engine)
    assert len(found) == 300
    assert engine.recording.failed == 0
    new = [each for each in found if each.lane is Lane.NEW]
    reuse = [each for each in found if each.lane is Lane.REUSE]
    assert len(new) == pytest.approx(150, abs=3)
    assert {each.nth_on_connection for each in new} == {1}
    assert len({each.connection for each in new}) == len(new)
    assert len({each.connection for each in reuse}) == 28  # 20 in turn, 8 sleepers
    assert max(each.nth_on_connection for each in reuse) > 5
    assert server.connections == len(new) + 28


def test_the_facts_of_a_kept_alive_connection_are_on_each_of_its_exchanges() -> None:
    engine = run(TrafficPlan(rate=100, duration=SECOND, lanes=REUSE), Server(well_behaved))
    by_connection: dict[int, list[Exchange]] = {}
    for each in exchanges(engine):
        by_connection.setdefault(each.connection, []).append(each)
    for found in by_connection.values():
        assert [each.nth_on_connection for each in found] == list(range(1, len(found) + 1))
        assert len({(each.local_port, each.peer, each.connected) for each in found}) == 1
        for earlier, later in pairwise(found):
            assert later.idle == later.actual_start - earlier.finished
        assert found[0].idle == 0
        assert found[0].local_port > 0


def test_a_server_that_stalls_does_not_thin_out_the_load() -> None:
    clock, released = Unstalled(), asyncio.Event()

    async def stalls(peer: Peer) -> None:
        while await peer.request():
            await released.wait()
            peer.say(ANSWER)

    async def release(engine: Engine) -> None:
        await clock.sleep(2)
        assert engine.in_flight() > 175
        released.set()

    engine = run(TrafficPlan(rate=100, duration=3 * SECOND), Server(stalls), release, clock)
    found = exchanges(engine)
    assert len(found) == 300
    assert engine.recording.failed == 0
    assert max(each.start_delay for each in found) < 500 * MILLISECOND
    assert max(each.response_time for each in found) > 1.9 * SECOND
    assert sum(each.response_time > SECOND for each in found) > 90


def test_slow_answers_make_the_pool_grow_and_it_shrinks_again() -> None:
    clock, slow = Unstalled(), True

    async def slow_at_first(peer: Peer) -> None:
        while await peer.request():
            if slow:
                await clock.sleep(0.5)
            peer.say(ANSWER)

    async def observe(engine: Engine) -> None:
        nonlocal slow
        while (most := engine.open_connections().total()) < 90 and clock() < given_up:
            await clock.sleep(0.01)
        slow = False
        while (least := engine.open_connections().total()) > 35 and clock() < given_up:
            await clock.sleep(0.01)
        sizes.extend((most, least))
        engine.stop()

    given_up, sizes = clock() + 8 * SECOND, []
    engine = run(TrafficPlan(rate=200, duration=9 * SECOND, lanes=REUSE), Server(slow_at_first), observe, clock)
    assert engine.recording.failed == 0
    assert sizes[0] >= 90 and sizes[1] <= 35


def test_the_pool_is_sized_by_its_own_lane() -> None:
    clock = Unstalled()

    async def slow_to_new_ones(peer: Peer) -> None:
        while head := await peer.request():
            if b"Connection: close" in head:
                await clock.sleep(0.5)
            peer.say(ANSWER)

    counts = []

    async def observe(engine: Engine) -> None:
        await clock.sleep(2.3)
        counts.append(engine.open_connections().total())

    lanes = ((Lane.NEW, 0.7), (Lane.REUSE, 0.3))
    run(TrafficPlan(rate=150, duration=int(2.5 * SECOND), lanes=lanes), Server(slow_to_new_ones), observe, clock)
    assert counts == [28]


def test_the_pool_has_as_many_connections_as_were_asked_for_and_no_sleepers() -> None:
    clock, counts = Unstalled(), []

    async def works(peer: Peer) -> None:
        while await peer.request():
            await asyncio.sleep(0.02)
            peer.say(ANSWER)

    async def observe(engine: Engine) -> None:
        await clock.sleep(1.5)
        counts.append(engine.open_connections().total())

    run(TrafficPlan(rate=20, duration=2 * SECOND, lanes=REUSE, connections=5), Server(works), observe, clock)
    assert counts == [5]


def test_arrivals_of_every_process_are_sent_on_time() -> None:
    for process in ArrivalProcess:
        plan = TrafficPlan(rate=300, duration=SECOND // 2, arrivals=process, ramp_from=100)
        engine = run(plan, Server(well_behaved))
        delays = sorted(each.start_delay for each in exchanges(engine))
        assert delays[0] >= 0
        assert delays[len(delays) // 20] < 5 * MILLISECOND, "a starved machine is late often, not always"


def test_a_closed_idle_connection_is_no_failure_to_one_who_looks() -> None:
    clock = Unstalled()

    async def closes_after_a_while(peer: Peer) -> None:
        asked = asyncio.ensure_future(peer.request())
        while True:
            idle_until = clock() + SECOND // 5
            while not asked.done() and clock() < idle_until:
                await asyncio.wait([asked], timeout=0.005)
            if not asked.done() or not asked.result():
                asked.cancel()
                return
            peer.say(ANSWER)
            asked = asyncio.ensure_future(peer.request())

    plan = TrafficPlan(rate=15, duration=2 * SECOND, lanes=REUSE)
    engine = run(plan, Server(closes_after_a_while), clock=clock)
    assert (len(engine.recording), engine.recording.failed) == (30, 0)
    assert engine.recording.closed_idle >= 8
    blind = TrafficPlan(rate=15, duration=2 * SECOND, lanes=REUSE, look=False)
    engine = run(blind, Server(closes_after_a_while), clock=clock)
    assert engine.recording.closed_idle == 0
    found = [each for each in exchanges(engine) if each.failure]
    assert len(found) >= 4
    assert {each.failure.kind for each in found} <= {Kind.CLOSED, Kind.RESET}
    assert all(each.nth_on_connection > 1 and each.idle > 190 * MILLISECOND for each in found)


def test_an_answer_before_the_end_of_the_request_takes_the_connection_out_of_use() -> None:
    async def impatient(peer: Peer) -> None:
        await peer.request()
        peer.say(ANSWER)
        await hold(peer)

    shape = RequestShape(method="POST", body=b"x" * 20_000_000)
    engine = run(TrafficPlan(rate=10, duration=SECOND, lanes=REUSE, requests=(shape,)), Server(impatient))
    assert engine.recording.failed == 0
    assert {(each.nth_on_connection, each.sent) for each in exchanges(engine)} == {(1, None)}


def test_failed_connections_leave_the_pool_and_others_take_their_place() -> None:
    server = Server(well_behaved)

    async def resets_at_first(peer: Peer) -> None:
        if server.connections <= 60:
            await peer.request()
            peer.reset()
        else:
            await well_behaved(peer)

    server = Server(resets_at_first)
    clock, open_ones = Unstalled(), []

    async def observe(engine: Engine) -> None:
        await clock.sleep(1.5)
        open_ones.append(engine.open_connections().total())

    engine = run(TrafficPlan(rate=100, duration=2 * SECOND, lanes=REUSE), server, observe, clock)
    assert engine.recording.failed == 60
    assert open_ones == [28]


@pytest.mark.parametrize("pieces", [(ANSWER, ANSWER), (ANSWER + ANSWER[:9],)])
def test_an_answer_that_nobody_asked_for_takes_the_connection_out_of_use(pieces: tuple[bytes, ...]) -> None:
    plan = TrafficPlan(rate=40, duration=SECOND, lanes=REUSE)
    engine = run(plan, Server(says(*pieces, then=hold)))
    assert engine.recording.failed == 0
    assert {each.nth_on_connection for each in exchanges(engine)} == {1}


@pytest.mark.parametrize("close", [b"Connection: close\r\n", b"connection: x, CLOSE\r\n"])
def test_an_announced_close_is_kept_and_obeyed(close: bytes) -> None:
    async def announces(peer: Peer) -> None:
        while await peer.request():
            peer.say(ANSWER.replace(b"X-Served-By", close + b"X-Served-By"))

    engine = run(TrafficPlan(rate=20, duration=SECOND), Server(announces))
    for each in exchanges(engine):
        assert each.failure is None
        assert each.nth_on_connection == 1
        assert each.close_announced is (each.lane is Lane.REUSE)


class Dials:
    """A dialer that does what a function says, for the n-th connection."""

    def __init__(self, route: object) -> None:
        self.count = 0
        self._route = route

    def dial(self) -> Route:
        self.count += 1
        return self._route(self.count)


def run_dialer(route: object, **plan: object) -> Engine:
    settings = {"rate": 20, "duration": SECOND // 2, "connect_timeout": SECOND // 5, "timeout": SECOND // 2} | plan
    engine = Engine(TrafficPlan(**settings), Dials(route), host="test", clock=Unstalled())
    asyncio.run(engine.run())
    return engine


def test_without_a_usable_endpoint_a_request_is_refused_and_no_pod_blamed() -> None:
    engine = run_dialer(lambda _: Route(None, ("10.0.0.1", 80)))
    assert {(each.failure, each.routed_to, each.connection) for each in exchanges(engine)} == {
        (failures.NO_ENDPOINT, "", 0)
    }


def test_a_pod_is_named_on_the_exchanges_of_its_connections_and_counted_while_they_are_open() -> None:
    counts = []

    async def main() -> Engine:
        async with Server(well_behaved) as server:

            def route(number: int) -> Route:
                made = socket.socket()
                made.setblocking(False)
                return Route(made, ("127.0.0.1", server.port), f"web-{number % 2}")

            clock = Unstalled()
            engine = Engine(TrafficPlan(rate=100, duration=SECOND, lanes=REUSE), Dials(route), host="test", clock=clock)
            running = asyncio.ensure_future(engine.run())
            await clock.sleep(0.7)
            counts.append(engine.open_connections())
            await running
            counts.append(engine.open_connections())
            return engine

    engine = asyncio.run(main())
    assert {each.routed_to for each in exchanges(engine)} == {"web-0", "web-1"}
    assert counts == [{"web-0": 14, "web-1": 14}, {}]


class Broken(socket.socket):
    """A socket that cannot connect, for a reason that is hard to bring about."""

    number = 0

    def connect_ex(self, _: object) -> int:
        return self.number


@pytest.mark.parametrize(
    ("number", "kind"), [(errno.EADDRNOTAVAIL, Kind.NOT_SENT), (errno.EHOSTUNREACH, Kind.UNREACHABLE)]
)
def test_what_connect_says_at_once_is_kept(number: int, kind: Kind) -> None:
    def route(_: int) -> Route:
        made = Broken()
        made.number = number
        return Route(made, ("127.0.0.1", 1))

    engine = run_dialer(route)
    assert {(each.failure.stage, each.failure.kind, each.failure.errno) for each in exchanges(engine)} == {
        (Stage.CONNECT, kind, number)
    }


class Cut(socket.socket):
    """A socket whose peer accepts the connection, and resets it before anything is sent."""

    def send(self, *_: object) -> int:
        raise ConnectionResetError(errno.ECONNRESET, "Connection reset by peer")


def test_a_connection_that_is_cut_before_the_first_byte_was_one() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def route(_: int) -> Route:
            made = Cut()
            made.setblocking(False)
            return Route(made, listener.getsockname())

        engine = run_dialer(route)
    assert {(each.failure.stage, each.failure.kind, each.nth_on_connection) for each in exchanges(engine)} == {
        (Stage.SEND, Kind.RESET, 1)
    }
    assert all(each.connected and each.connection and each.local_port for each in exchanges(engine))


def test_running_out_of_descriptors_is_our_own_limit() -> None:
    async def main() -> Engine:
        async with Server(says(then=hold)) as server:
            soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            lowest_free = os.dup(0)
            os.close(lowest_free)
            resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free + 12, hard))
            try:
                plan = TrafficPlan(rate=100, duration=SECOND // 2, timeout=SECOND, lanes=REUSE)
                engine = Engine(plan, dialer(server.port), host="test", clock=Unstalled())
                await engine.run()
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            return engine

    engine = asyncio.run(main())
    kinds = [each.failure.kind for each in exchanges(engine)]
    assert set(kinds) >= {Kind.NOT_SENT}
    assert engine.watch.unsent == kinds.count(Kind.NOT_SENT) >= 30
    assert {each.failure.errno for each in exchanges(engine) if each.failure.kind is Kind.NOT_SENT} == {errno.EMFILE}


def stalled(plan: TrafficPlan, serve: str, length: float, counted: float) -> Engine:
    """A run against a server in another process during which our loop stands still once, after half a second.

    It does so in the middle of its reading: what had become due or readable meanwhile is then found in any order. So
    much of it is `counted` by the engine's clock, which leaves out what the machine does besides.
    """
    machine, jumped = Unstalled(), 0

    def stand_still() -> None:
        nonlocal jumped
        time.sleep(length)
        jumped = round(counted * SECOND)

    async def main() -> Engine:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-u", "-c", SLOW_SERVER.replace("SERVE", serve)), stdout=asyncio.subprocess.PIPE
        )
        port = int(await process.stdout.readline())
        engine = Engine(plan, dialer(port), host="test", clock=lambda: machine() + jumped)
        ours, theirs = socket.socketpair()
        loop = asyncio.get_running_loop()
        loop.add_reader(ours, lambda: (loop.remove_reader(ours), stand_still()))
        loop.call_later(0.5, theirs.send, b"x")
        await engine.run()
        process.kill()
        await process.wait()
        ours.close()
        theirs.close()
        return engine

    with asyncio.Runner(loop_factory=fastest_loop) as runner:
        return runner.run(main())


def test_our_own_stall_is_seen_and_makes_no_time_outs_of_answers_that_have_come() -> None:
    plan = TrafficPlan(rate=40, duration=2 * SECOND, timeout=int(0.7 * SECOND), lanes=NEW)
    engine = stalled(plan, "time.sleep(0.1)", 0.85, counted=0.85)
    (start, length) = max(engine.watch.stalls, key=lambda stall: stall[1])
    assert length == pytest.approx(0.85 * SECOND, rel=0.1)
    assert engine.watch.started < start < engine.watch.ended
    assert engine.recording.failed == 0
    assert max(each.start_delay for each in exchanges(engine)) > 700 * MILLISECOND


def test_a_connection_that_closed_while_the_loop_stood_still_is_not_used() -> None:
    plan = TrafficPlan(rate=100, duration=2 * SECOND, lanes=REUSE)
    engine = stalled(plan, "self.connection.settimeout(1.5)", 1.9, counted=0.8)
    assert engine.recording.failed == 0
    assert engine.recording.closed_idle >= 8


SLOW_SERVER = """
import socketserver, time
class Slow(socketserver.StreamRequestHandler):
    def handle(self):
        try:
            while line := self.rfile.readline():
                if line.strip():
                    continue
                SERVE
                self.wfile.write(b"HTTP/1.1 200 OK\\r\\nContent-Length: 0\\r\\n\\r\\n")
        except OSError:
            pass
class Server(socketserver.ThreadingTCPServer):
    request_queue_size = 100
server = Server(("127.0.0.1", 0), Slow)
print(server.server_address[1])
server.serve_forever()
"""


def test_what_is_overdue_by_more_than_a_second_is_not_sent_and_not_forgotten() -> None:
    jumped = 0  # what the machine's own stalls add is taken out, and the one that is asked for put in

    def clock() -> int:
        return machine() + jumped

    async def block(engine: Engine) -> None:
        nonlocal jumped
        await machine.sleep(0.3)
        jumped = int(1.6 * SECOND)

    machine = Unstalled()
    engine = run(TrafficPlan(rate=100, duration=3 * SECOND), Server(well_behaved), block, clock)
    found = exchanges(engine)
    assert len(found) == 300
    unsent = [each for each in found if each.failure == failures.OVERDUE]
    assert len(unsent) == engine.watch.unsent == pytest.approx(60, abs=15)
    assert all(each.actual_start is None and each.finished is None for each in unsent)
    assert max(each.start_delay for each in found if each.actual_start) <= LATEST + 100 * MILLISECOND


def test_stop_ends_the_arrivals_and_waits_for_what_is_in_flight() -> None:
    clock = Unstalled()

    async def slow(peer: Peer) -> None:
        while await peer.request():
            await clock.sleep(0.3)
            peer.say(ANSWER)

    async def main() -> tuple[Engine, int]:
        async with Server(slow) as server:
            engine = Engine(TrafficPlan(rate=100), dialer(server.port), host="test", clock=clock)
            running = asyncio.ensure_future(engine.run(bounded=False))
            await clock.sleep(0.5)
            engine.stop()
            stopped = clock()
            await running
            return engine, clock() - stopped

    engine, took = asyncio.run(main())
    assert len(engine.recording) == pytest.approx(50, abs=10)
    assert engine.recording.failed == 0
    assert 200 * MILLISECOND < took < SECOND


def test_an_unbounded_run_goes_on_past_the_plans_duration() -> None:
    async def main() -> Engine:
        async with Server(well_behaved) as server:
            clock = Unstalled()
            engine = Engine(TrafficPlan(rate=100, duration=SECOND // 5), dialer(server.port), host="test", clock=clock)
            running = asyncio.ensure_future(engine.run(bounded=False))
            await clock.sleep(0.8)
            assert not running.done()
            engine.stop()
            await running
            return engine

    assert len(asyncio.run(main()).recording) > 60


def test_a_cancelled_run_leaves_no_socket_and_settles_what_was_in_flight_as_ours() -> None:
    async def main() -> Engine:
        async with Server(says(then=hold)) as server:
            clock = Unstalled()
            engine = Engine(TrafficPlan(rate=100), dialer(server.port), host="test", clock=clock)
            before = descriptors()
            running = asyncio.ensure_future(engine.run())
            await clock.sleep(0.5)
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running
            for _ in range(100):
                if descriptors() <= before:
                    break
                await asyncio.sleep(0.01)  # the server's side closes when it sees ours
            assert descriptors() <= before
            return engine

    engine = asyncio.run(main())
    assert len(engine.recording.settled) == len(engine.recording) > 30
    assert {each.failure for each in exchanges(engine)} == {failures.STOPPED}


def test_the_collector_is_as_it_was_before() -> None:
    assert gc.isenabled()
    run(TrafficPlan(rate=10, duration=SECOND // 5), Server(well_behaved))
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0


def test_a_bug_of_our_own_ends_the_run_with_its_traceback() -> None:
    def route(_: int) -> Route:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_dialer(route)


def test_no_connection_is_left_to_the_collector() -> None:
    """It is off while an engine runs: 8,000 connections a second must go by their reference counts."""

    clock, alive = Unstalled(), []

    async def count(engine: Engine) -> None:
        await clock.sleep(2.5)
        for _ in range(6):  # the least of several: what is in hand on a busy machine is alive too
            alive.append(sum(isinstance(each, Answer | Connection) for each in gc.get_objects()))
            await clock.sleep(0.05)

    run(TrafficPlan(rate=100, duration=3 * SECOND, lanes=NEW), Server(well_behaved), count, clock)
    assert min(alive) < 100, "of the 500 that 250 exchanges needed"


def test_the_parts_of_a_plan_are_together_the_whole_plan() -> None:
    plan = TrafficPlan(rate=200, duration=SECOND // 2, arrivals=ArrivalProcess.POISSON)

    async def main(part: tuple[int, int]) -> list[int]:
        async with Server(well_behaved) as server:
            engine = Engine(plan, dialer(server.port), host="test", part=part, clock=Unstalled())
            await engine.run()
            return [each.intended_start - engine.watch.started for each in exchanges(engine)]

    whole = asyncio.run(main((0, 1)))
    assert sorted(start for part in range(3) for start in asyncio.run(main((part, 3)))) == whole


def test_two_shapes_keep_their_weights_and_expectations() -> None:
    async def echo_path(peer: Peer) -> None:
        while head := await peer.request():
            status = b"200 OK" if b" /good " in head else b"404 Not Found"
            peer.say(b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\n\r\n")

    shapes = (
        RequestShape(path="/good", weight=9),
        RequestShape(path="/bad", weight=1, expect_status=(range(404, 405),)),
        RequestShape(path="/worse", weight=1),
    )
    engine = run(TrafficPlan(rate=110, duration=SECOND, requests=shapes), Server(echo_path))
    statuses = [each.status for each in exchanges(engine)]
    assert statuses.count(404) == pytest.approx(20, abs=2)
    assert {each.failure for each in exchanges(engine) if each.failure} == {
        Failure(Stage.VALIDATE, Kind.BAD_STATUS, 0, "answered 404")
    }
    assert engine.recording.failed == pytest.approx(10, abs=1)
