"""The ingress as a process: what HTTP clients and pods see of it, and what it says of every request."""

from __future__ import annotations

import asyncio
import http.client
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from tests.local.harness import play

from lameduck.core.exchange import Exchange, Failure, Kind, Lane, Stage
from lameduck.core.instants import SECOND
from lameduck.core.recording import RETRIED, Recording
from lameduck.local.hop import Hop
from lameduck.local.pool import SocketPool

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Backend:
    """A pod that is a server of the test's own; its sockets are ordinary ones."""

    def __init__(self, name: str, address: tuple[str, int]) -> None:
        self.name, self.address = name, address
        self.pool = SocketPool(self._make, lambda: None)
        self.made = 0

    def _make(self, count: int) -> None:
        made = [socket.socket() for _ in range(count)]
        self.made += count
        self.pool.add([each.detach() for each in made])


class Scene:
    """An ingress in front of some backends."""

    def __init__(self) -> None:
        self.backends: dict[str, Backend] = {}
        self.hop = Hop(self.backends.get)
        self.heads: list[bytes] = []

    def to(self, *names: str) -> None:
        """Let these get the requests."""
        self.hop.route([self.backends[name] for name in names])

    async def ask(self, *parts: bytes, pause: float = 0) -> bytes:
        """Everything that the ingress answers to these bytes, on a connection of their own."""
        reader, writer = await asyncio.open_connection(*self.hop.address.split(":"))
        for part in parts:
            writer.write(part)
            await asyncio.sleep(pause)
        try:
            async with asyncio.timeout(10):
                return await reader.read()
        finally:
            writer.close()


@asynccontextmanager
async def ingress(**servers: Serve | None) -> AsyncIterator[Scene]:
    """Backends by name; None is one that refuses."""
    scene = Scene()
    listening = []
    for name, serve in servers.items():
        if serve is None:
            with socket.socket() as nobody:
                nobody.bind(("127.0.0.1", 0))
                scene.backends[name] = Backend(name, nobody.getsockname())
        else:
            listening.append(await asyncio.start_server(serve, "127.0.0.1", 0))
            scene.backends[name] = Backend(name, listening[-1].sockets[0].getsockname())
    await scene.hop.start()
    try:
        scene.to(*servers)
        yield scene
    finally:
        await scene.hop.stop()
        for each in listening:
            each.close()
        for backend in scene.backends.values():
            backend.pool.close()


def answering(answer: bytes, heads: list[bytes], bodies: int = 0) -> Serve:
    """A server that gives the same answer to every request, keeps its heads, and reads so many bytes of body."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                heads.append(await reader.readuntil(b"\r\n\r\n") + await reader.readexactly(bodies))
                writer.write(answer)
        writer.close()

    return serve


def get(path: bytes = b"/", *, last: bool = True, method: bytes = b"GET") -> bytes:
    return method + b" " + path + b" HTTP/1.1\r\nHost: shop\r\n" + (b"Connection: close\r\n" if last else b"") + b"\r\n"


def body(answer: bytes) -> bytes:
    return answer.partition(b"\r\n\r\n")[2]


def test_pods_take_turns_and_connections_to_them_are_kept_though_the_clients_are_not() -> None:
    async def scene() -> None:
        heads: dict[str, list[bytes]] = {"a": [], "b": []}
        connections = {"a": 0, "b": 0}

        def counted(name: str) -> Serve:
            inner = answering(OK, heads[name])

            async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                connections[name] += 1
                await inner(reader, writer)

            return serve

        async with ingress(a=counted("a"), b=counted("b")) as proxy:
            for _ in range(6):
                answer = await proxy.ask(get())
                assert body(answer) == b"ok"
                assert b"Connection: close" in answer
        assert ({name: len(seen) for name, seen in heads.items()}, connections) == ({"a": 3, "b": 3}, {"a": 1, "b": 1})
        assert all(b"connection: close" not in head.lower() for head in heads["a"])
        assert b"X-Forwarded-For: 127.0.0.1" in heads["a"][0]

    play(scene)


CHUNKS = b"5\r\nhello\r\n3;x=y\r\n, w\r\n0\r\nTrailer: yes\r\n\r\n"


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNKS, CHUNKS),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
        (b"HTTP/1.1 200\r\nContent-Length: 100000\r\n\r\n" + b"x" * 100_000, b"x" * 100_000),
        (b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + OK, b"ok"),
    ],
    ids=["chunked", "no content", "large", "interim"],
)
def test_bodies_are_passed_on_as_they_are_framed(answer: bytes, expected: bytes) -> None:
    async def scene() -> None:
        async with ingress(a=answering(answer, [])) as proxy:
            for _ in range(2):  # the second time on the connection that was kept
                assert body(await proxy.ask(get())) == expected
            assert proxy.backends["a"].made

    play(scene)


def test_a_request_with_a_body_reaches_the_pod_whole_however_it_is_framed_and_if_the_client_waits_for_a_word() -> None:
    async def scene() -> None:
        heads: list[bytes] = []
        async with ingress(a=answering(OK, heads, bodies=5)) as proxy:
            sized = b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 5\r\n"
            assert body(await proxy.ask(sized + b"\r\n", b"hel", b"lo", pause=0.05)) == b"ok"
            waited = await proxy.ask(sized + b"Expect: 100-continue\r\n\r\n", b"hello", pause=0.05)
            assert waited.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK")
        assert [head[-5:] for head in heads] == [b"hello", b"hello"]
        heads.clear()
        async with ingress(a=answering(OK, heads, bodies=len(CHUNKS))) as proxy:
            chunked = b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
            assert body(await proxy.ask(chunked + CHUNKS)) == b"ok"
        assert heads[0].endswith(CHUNKS)

    play(scene)


def test_a_real_client_keeps_its_connection_over_heads_and_posts() -> None:
    async def scene() -> None:
        head = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with suppress(asyncio.IncompleteReadError, ConnectionError):
                while True:
                    method = (await reader.readuntil(b"\r\n\r\n")).split()[0]
                    writer.write(head if method == b"HEAD" else OK)
            writer.close()

        async with ingress(a=serve) as proxy:

            def client() -> list[tuple[int, bytes]]:
                connection = http.client.HTTPConnection(proxy.hop.address, timeout=5)
                seen = []
                for method in ("GET", "HEAD", "DELETE", "GET"):
                    connection.request(method, "/")
                    answer = connection.getresponse()
                    seen.append((answer.status, answer.read()))
                return seen

            assert await asyncio.to_thread(client) == [(200, b"ok"), (200, b""), (200, b"ok"), (200, b"ok")]

    play(scene)


def test_an_upgraded_connection_is_a_tunnel() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert b"Upgrade: echo" in await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n")
        writer.write(b"<" + await reader.readexactly(4) + b">")
        writer.close()

    async def scene() -> None:
        async with ingress(a=serve) as proxy:
            asked = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"
            assert body(await proxy.ask(asked, b"ping", pause=0.1)) == b"<ping>"

    play(scene)


def test_a_refusal_is_a_502_nobody_a_503_and_rubbish_a_400() -> None:
    async def scene() -> None:
        async with ingress(a=None) as proxy:
            assert (await proxy.ask(get())).startswith(b"HTTP/1.1 502 Bad Gateway\r\n")
            proxy.to()
            while not (await proxy.ask(get())).startswith(b"HTTP/1.1 503 Service Unavailable\r\n"):
                await asyncio.sleep(0.01)  # until the ingress has heard of it
            assert (await proxy.ask(b"rubbish\r\n\r\n")).startswith(b"HTTP/1.1 400 Bad Request\r\n")

    play(scene)


def test_a_pod_that_has_left_the_table_gets_nothing_though_its_connection_is_open() -> None:
    async def scene() -> None:
        seen: dict[str, list[bytes]] = {"a": [], "b": []}
        async with ingress(a=answering(OK, seen["a"]), b=answering(OK, seen["b"])) as proxy:
            await proxy.ask(get())
            await proxy.ask(get())
            proxy.to("b")
            before = (0, 0)
            while len(seen["b"]) != before[1] + 2:  # twice in a row: it has heard of it
                before = (len(seen["a"]), len(seen["b"]))
                await proxy.ask(get())
                await proxy.ask(get())
            while proxy.hop.kept_open("a") != 1:
                await asyncio.sleep(0.01)
            before = (len(seen["a"]), len(seen["b"]))
            for _ in range(4):
                await proxy.ask(get())
        assert (len(seen["a"]), len(seen["b"])) == (before[0], before[1] + 4)

    play(scene)


async def once_only(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A server that answers one request on a connection and drops the next."""
    with suppress(asyncio.IncompleteReadError):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK)
        await reader.readuntil(b"\r\n\r\n")
    writer.close()


async def one_answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A server that closes a connection after its answer, without having said so."""
    with suppress(asyncio.IncompleteReadError):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK)
    writer.close()


def test_a_connection_that_was_seen_to_end_is_not_used_again() -> None:
    async def scene() -> None:
        async with ingress(a=one_answer) as proxy:
            for _ in range(3):
                assert (await proxy.ask(get(method=b"POST"))).startswith(b"HTTP/1.1 200 OK")
                await asyncio.sleep(0.05)

    play(scene)


async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A server that never answers."""
    with suppress(asyncio.IncompleteReadError):
        await reader.readexactly(1 << 20)
    writer.close()


async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A server that ends within its answer."""
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")
    writer.close()


def test_it_says_of_every_request_which_pod_had_it_and_what_it_met_there() -> None:
    async def scene() -> None:
        loop = asyncio.get_running_loop()
        async with ingress(once=once_only, mute=mute, cut=cut, none=None) as proxy:
            recording = Recording()

            async def request(pod: str, method: bytes, kind: Kind | None, patience: float = 5) -> None:
                proxy.to(*([pod] if pod else []))
                await asyncio.sleep(0.05)
                start = int(loop.time() * SECOND)
                reader, writer = await asyncio.open_connection(*proxy.hop.address.split(":"))
                port = writer.get_extra_info("sockname")[1]
                writer.write(get(method=method))
                with suppress(TimeoutError):
                    async with asyncio.timeout(patience):
                        await reader.read()
                writer.close()
                end = int(loop.time() * SECOND)
                stage = Stage.AWAIT if kind is Kind.TIMEOUT else Stage.VALIDATE
                failure = Failure(stage, kind) if kind else None
                recording.add(
                    Exchange(0, Lane.NEW, start, start, start, start, None, end, 1, 1, local_port=port, failure=failure)
                )

            await request("once", b"GET", None)
            await request("once", b"GET", None)  # tried again on a new connection
            await request("once", b"POST", Kind.BAD_STATUS)  # must not be
            await request("none", b"GET", Kind.BAD_STATUS)
            await request("mute", b"GET", Kind.TIMEOUT, patience=1)
            await request("cut", b"GET", Kind.TRUNCATED)
            await request("", b"GET", Kind.BAD_STATUS)
            at = int(loop.time() * SECOND)
            never = Failure(Stage.CONNECT, Kind.TIMEOUT)  # of a connection that the ingress never took
            recording.add(Exchange(7, Lane.NEW, at, at, None, None, None, at, local_port=1, failure=never))
            proxy.hop.attribute(recording)
            ours = recording.exchange(7).failure
            assert ours is not None
            assert (ours.kind, ours.detail) == (Kind.NOT_SENT, "the ingress on this machine was too slow")
            rows = [recording.exchange(seq) for seq in range(7)]
            assert [row.routed_to for row in rows] == ["once", "once", "once", "none", "mute", "cut", ""]
            assert [bool(flags & RETRIED) for flags in recording.flags[:7]] == [False, True, *[False] * 5]
            met = [row.failure.behind for row in rows if row.failure]
            assert [(each.stage, each.kind, each.reused) for each in met if each] == [
                (Stage.AWAIT, Kind.CLOSED, True),
                (Stage.CONNECT, Kind.REFUSED, False),
                (Stage.AWAIT, Kind.TIMEOUT, False),
                (Stage.READ, Kind.TRUNCATED, False),
                (Stage.CONNECT, Kind.REFUSED, False),
            ]
            assert met[-1] is not None
            assert met[-1].detail == "no usable endpoint"

    play(scene)


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_it_ends_with_lameduck_and_leaves_no_socket_behind() -> None:
    async def scene() -> None:
        before = descriptors()
        async with ingress(a=answering(OK, [])) as proxy:
            await proxy.ask(get())
            process = proxy.hop._process
            assert process is not None
        assert process.returncode == 0
        proxy.backends["a"].pool.close()
        while descriptors() > before:  # the server's side closes when it sees the end
            await asyncio.sleep(0.01)

    play(scene)
