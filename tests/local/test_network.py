"""What a client meets: the kernel's own refusals, silences and closes; routes by the node's table."""

import asyncio
import errno
import socket
import statistics
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pytest
from tests.local.harness import MODES, lateness, output, play, running, server

from lameduck.core.instants import MILLISECOND, SECOND
from lameduck.core.timeline import Event, Milestone
from lameduck.local import relay
from lameduck.local.pool import SocketPool, right_size

each_mode = pytest.mark.parametrize("mode", MODES)
M = Milestone
PATIENCE = 50
"""How long a connection that nobody answers is waited for (ms)."""


@each_mode
@pytest.mark.rollout
def test_a_dead_pod_refuses_for_a_moment_then_swallows_every_connection(tmp_path: Path, mode: str) -> None:
    async def scene() -> None:
        async with running(tmp_path, *server("exits"), mode=mode) as watched:
            cluster = watched.cluster
            (pod,) = cluster._pods.values()
            rollout = asyncio.create_task(cluster.disrupt(1))
            exited = await watched.until(M.EXITED)
            met: list[tuple[float, str]] = []
            late = (time.monotonic_ns() - exited.at) / MILLISECOND
            while (at := time.monotonic_ns() - exited.at) < SECOND // 2:
                with pod.pool.take() as connection:
                    met.append((at / MILLISECOND, await meet(connection, pod.address)))
                took = (time.monotonic_ns() - exited.at - at) / MILLISECOND
                late = max(late, took - (PATIENCE if met[-1][1] == "silent" else 0))
            # `late`: how long this machine stood still meanwhile, a few ms mostly.
            refused = [at for at, what in met if what == "refused"]
            silent = [at for at, what in met if what == "silent"]
            others = [what for _, what in met if what not in {"refused", "silent"}]
            assert silent and (refused or late > 55)
            assert others == [] or (mode != "sandbox" and others == ["connected"]), "see `spawning.deaf_listener`"
            assert max(refused, default=0) < 130 + late and min(silent) > 55 - late
            await rollout

    play(scene)


async def meet(connection: socket.socket, address: tuple[str, int]) -> str:
    try:
        async with asyncio.timeout(PATIENCE / 1000):
            await asyncio.get_running_loop().sock_connect(connection, address)
    except TimeoutError:
        return "silent"
    except OSError as error:
        return {errno.ECONNREFUSED: "refused"}.get(error.errno or 0, str(error))
    return "connected"


@pytest.mark.rollout
def test_a_dead_pod_swallows_also_what_was_established_and_ports_nobody_used(tmp_path: Path) -> None:
    async def scene() -> None:
        async with running(tmp_path, *server("exits")) as watched:
            (pod,) = watched.cluster._pods.values()
            rollout = asyncio.create_task(watched.cluster.disrupt(1))
            await watched.until(M.EXITED)
            async with asyncio.timeout(10):
                met = "refused"
                while met == "refused":
                    with pod.pool.take() as connection:
                        met = await meet(connection, (pod.ip, 12345))
            assert met == "silent"
            await rollout

    play(scene)


@pytest.mark.rollout
def test_established_connections_stay_on_the_old_pod_until_it_ends(tmp_path: Path) -> None:
    async def scene() -> None:
        async with running(tmp_path, *server("drains"), pre_stop_sleep=1) as watched:
            route = watched.cluster.dialer().dial()
            assert route.socket is not None
            loop = asyncio.get_running_loop()
            with route.socket as connection:
                await loop.sock_connect(connection, route.address)
                rollout = asyncio.create_task(watched.cluster.disrupt(1))
                await watched.until(M.ENDPOINT_NOT_READY)
                while route.pod in watched.cluster._node.pods:
                    await asyncio.sleep(0.01)
                await loop.sock_sendall(connection, b"GET / HTTP/1.1\r\n\r\n")
                assert f"X-Served-By: {route.pod}".encode() in await loop.sock_recv(connection, 4096)
            await rollout

    play(scene)


@pytest.mark.rollout
def test_without_a_usable_endpoint_there_is_no_route(tmp_path: Path) -> None:
    async def scene() -> None:
        may_come = tmp_path / "may-come"
        waits = f"until [ $LAMEDUCK_REVISION = 1 -o -e {may_come} ]; do sleep 0.05; done; exec"
        command = ("bash", "-c", f"{waits} {' '.join(server('exits'))}")
        async with running(tmp_path, *command, max_surge=0, max_unavailable=1) as watched:
            rollout = asyncio.create_task(watched.cluster.disrupt(1))
            await watched.until(M.GONE)
            while (route := watched.cluster.dialer().dial()).socket is not None:
                route.socket.close()
                await asyncio.sleep(0.01)
            assert route.pod == ""
            may_come.touch()
            assert await rollout
            while watched.cluster.dialer().dial().socket is None:
                await asyncio.sleep(0.01)
            tables = [o.detail["pods"] for o in watched.seen if o.what is Event.ROUTES_CHANGED]
            assert () in tables and len(tables[-1]) == 1

    play(scene)


@pytest.mark.rollout
def test_a_table_comes_into_force_a_sync_after_the_change_and_not_before_the_next_is_due(tmp_path: Path) -> None:
    async def scene() -> None:
        brisk = {"replicas": 2, "min_sync": 400 * MILLISECOND}
        async with running(tmp_path, *server("drains"), **brisk) as watched, lateness() as late:
            assert await watched.cluster.disrupt(1)
            while set(watched.cluster._node.pods) & {pod.name for pod in watched.old()}:
                await asyncio.sleep(0.01)
            tables = [o for o in watched.seen if o.what is Event.ROUTES_CHANGED]
            gaps = [(b.at - a.at) / MILLISECOND for a, b in pairwise(tables)]
            assert min(gaps) >= 430 - late(), "a sync's end, the pause, a sync"
            for pod in watched.old():
                unready = pod.at(M.ENDPOINT_NOT_READY) or 0
                without = min(o.at for o in tables if pod.name not in o.detail["pods"] and o.at > unready)
                lag = (without - unready) / MILLISECOND
                assert 30 - late() < lag < 400 + 2 * 35 + 50 + late()

    play(scene)


@pytest.mark.rollout
def test_the_same_seed_names_the_same_pods_and_another_seed_others(tmp_path: Path) -> None:
    names: list[list[str]] = []

    async def scene() -> None:
        for seed in (1, 1, 2):
            async with running(tmp_path, *server("drains"), replicas=2, seed=seed) as watched:
                names.append(list(watched.pods()))

    play(scene)
    assert names[0] == names[1] != names[2]


@each_mode
@pytest.mark.rollout
def test_a_burst_of_new_connections_finds_sockets_ready(tmp_path: Path, mode: str) -> None:
    """A thousand connections at once, then a steady stream: dialling is never what takes the time."""

    async def scene() -> None:
        async with running(tmp_path, *server("drains"), replicas=2, mode=mode) as watched:
            dialer = watched.cluster.dialer()
            took = []
            for _ in range(60):  # a stream of some 2,000 per second
                for _ in range(40):
                    before = time.perf_counter_ns()
                    route = dialer.dial()
                    took.append(time.perf_counter_ns() - before)
                    assert route.socket is not None
                    route.socket.close()
                await asyncio.sleep(0.02)
            assert statistics.quantiles(took, n=20)[18] < 5 * MILLISECOND, "a busy machine is late now and then"
            burst = [dialer.dial() for _ in range(1000)]
            assert all(route.socket is not None for route in burst)
            for route in burst:
                assert route.socket is not None
                route.socket.close()

    play(scene)


def test_a_pool_asks_for_more_when_half_is_gone_and_doubles_when_it_ran_dry() -> None:
    asked: list[int] = []
    pool = SocketPool(asked.append, lambda: pool.add([socket.socket().detach() for _ in range(asked[-1])]))
    pool.fill()
    pool.fill()
    assert asked == [64], "what is on its way is not asked for again"
    pool.add([socket.socket().detach() for _ in range(64)])
    for _ in range(31):
        pool.take().close()
    assert asked == [64]
    pool.take().close()
    assert asked == [64, 32]
    for _ in range(31):
        pool.take().close()
    assert asked == [64, 32], "half a pool is on its way"
    pool.take().close()
    assert asked == [64, 32, 32]
    pool.take().close()
    assert asked == [64, 32, 32, 64], "it ran dry: now it is to hold 128"
    pool.close()


@pytest.mark.parametrize(
    ("files", "replicas", "size"),
    [(20_000, 3, 64), (20_000, 200, 25), (1_024, 20, 12), (1_024, 500, 4), (-1, 9_999, 64)],
)
def test_the_sockets_of_many_pods_leave_half_of_the_descriptors_free(files: int, replicas: int, size: int) -> None:
    assert right_size(files, replicas) == size


def test_a_pool_that_gets_nothing_says_so_instead_of_blaming_the_pod() -> None:
    pool = SocketPool(lambda _: None, lambda: None)
    with pytest.raises(OSError, match="no socket from the pod's network") as raised:
        pool.take()
    assert raised.value.errno == errno.ENOBUFS


@contextmanager
def greeter() -> Iterator[int]:
    """Somebody outside of the pods who says hello; its port."""
    with socket.create_server(("0.0.0.0", 0)) as listener:

        def greet() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    connection.sendall(b"hello " + connection.recv(100))

        threading.Thread(target=greet, daemon=True).start()
        yield listener.getsockname()[1]


ASKER = """
import os, socket, sys
for place in sys.argv[1:]:
    host, _, port = place.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=5) as outside:
            outside.sendall(b"pod")
            print(place, outside.recv(100).decode() or "closed", flush=True)
    except OSError as error:
        print(place, error.strerror or error, flush=True)
listener = socket.create_server(("", int(os.environ["PORT"])))
while True:
    listener.accept()[0].close()
"""


@pytest.mark.rollout
def test_a_pod_reaches_what_it_may_under_the_name_it_knows_and_nothing_else(tmp_path: Path) -> None:
    async def scene() -> None:
        with greeter() as port:
            places = [f"localhost:{port}", f"{name}:{port}", "localhost:1", f"198.51.100.7:{port}"]
            ways = (("localhost", port), (name, port), ("nowhere.invalid", 80))
            command = (sys.executable, "-c", ASKER, *places, "nowhere.invalid:80")
            async with running(tmp_path, *command, reach=ways):
                said = dict(line.split(" ", 1) for line in output(tmp_path).splitlines())
                assert said[f"localhost:{port}"] == said[f"{name}:{port}"] == "hello pod"
                assert said["localhost:1"] == "Connection refused"
                assert said[f"198.51.100.7:{port}"] == "Network is unreachable"
                assert said["nowhere.invalid:80"] in {"closed", "Connection reset by peer"}
                assert "--reach nowhere.invalid:80: Name or service not known" in output(tmp_path)

    name = socket.gethostname()
    play(scene)


def test_each_way_out_has_its_place_inside() -> None:
    ways = relay.plan([("db", 1), ("db", 2), ("localhost", 3), ("192.0.2.5", 4), ("cache", 5), ("db", 1)])
    assert [(w.host, w.port, w.inside, w.alias, w.named) for w in ways] == [
        ("db", 1, "198.19.0.1", True, True),
        ("db", 2, "198.19.0.1", True, True),
        ("localhost", 3, "127.0.0.1", False, False),
        ("192.0.2.5", 4, "192.0.2.5", True, False),
        ("cache", 5, "198.19.0.2", True, True),
    ]
    assert relay.hosts(ways, "127.0.0.1 localhost\n") == "198.19.0.1\tdb\n198.19.0.2\tcache\n127.0.0.1 localhost\n"
