"""The Service's outside address: any client goes through the node's table."""

import asyncio
import contextlib
import socket
from pathlib import Path

import pytest
from tests.local.harness import play, running, server

from lameduck.cluster import Route
from lameduck.local.doorway import Doorway


class Fixed:
    """A dialer with one backend, or none."""

    def __init__(self, address: tuple[str, int] | None) -> None:
        self.address = address

    def dial(self) -> Route:
        if self.address is None:
            return Route(None, ("", 0))
        connection = socket.socket()
        connection.setblocking(False)
        return Route(connection, self.address, "pod")


async def through(doorway: Doorway) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, _, port = doorway.address.partition(":")
    return await asyncio.open_connection(host, int(port))


@pytest.mark.rollout
def test_a_client_outside_reaches_every_pod_and_each_connection_is_routed_once(tmp_path: Path) -> None:
    async def scene() -> None:
        async with running(tmp_path, *server("drains"), replicas=2) as watched:
            host, _, port = watched.cluster._facts().address.partition(":")
            met = set()
            for _ in range(20):
                reader, writer = await asyncio.open_connection(host, int(port))
                names = set()
                for _ in range(3):
                    writer.write(b"GET / HTTP/1.1\r\n\r\n")
                    names.add((await reader.readuntil(b"ok")).split(b"X-Served-By: ")[1].split(b"\r\n")[0].decode())
                assert len(names) == 1
                met |= names
                writer.close()
            assert met == set(watched.pods())

    play(scene)


@pytest.mark.parametrize("refused", [True, False])
def test_a_connection_that_no_pod_takes_is_closed(refused: bool) -> None:
    async def scene() -> None:
        with socket.socket() as nobody:
            nobody.bind(("127.0.0.1", 0))
            doorway = await Doorway.open(Fixed(nobody.getsockname() if refused else None))
            reader, writer = await through(doorway)
            with contextlib.suppress(ConnectionResetError):
                assert await reader.read() == b""
            writer.close()
            await doorway.close()

    play(scene)


def test_bytes_pass_whole_both_ways_and_a_half_closed_side_stays_half_closed() -> None:
    async def scene() -> None:
        async def echo_at_the_end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(await reader.read())
            writer.close()

        server = await asyncio.start_server(echo_at_the_end, "127.0.0.1", 0)
        doorway = await Doorway.open(Fixed(server.sockets[0].getsockname()))
        reader, writer = await through(doorway)
        sent = bytes(range(256)) * 8_192
        writer.write(sent)
        writer.write_eof()
        assert await reader.read() == sent
        writer.close()
        await doorway.close()
        server.close()

    play(scene)


def test_closing_it_drops_what_is_open_and_frees_the_port() -> None:
    async def scene() -> None:
        async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()
            writer.close()

        server = await asyncio.start_server(silent, "127.0.0.1", 0)
        doorway = await Doorway.open(Fixed(server.sockets[0].getsockname()))
        reader, writer = await through(doorway)
        writer.write(b"x")
        await asyncio.sleep(0.05)
        address = doorway.address.partition(":")
        await doorway.close()
        with contextlib.suppress(ConnectionResetError):
            assert await reader.read() == b""
        socket.create_server((address[0], int(address[2]))).close()
        writer.close()
        server.close()

    play(scene)
