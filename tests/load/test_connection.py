"""A connection by itself: what it says when it is looked at, without a turn of the loop in between."""

import asyncio
import socket
import time

import pytest
from tests.load.servers import ANSWER

from lameduck.cluster import Route
from lameduck.core.exchange import Lane
from lameduck.core.plan import RequestShape
from lameduck.core.recording import Recording
from lameduck.load.connection import Connection
from lameduck.load.floor import Floor
from lameduck.load.requests import prepare


async def idle_connection() -> tuple[Connection, Recording, socket.socket]:
    """A kept-alive connection after its first exchange, and the server's end of it."""
    loop, recording = asyncio.get_running_loop(), Recording()
    freed: asyncio.Future[Connection] = loop.create_future()
    floor = Floor(
        loop=loop, clock=time.monotonic_ns, recording=recording, served_by_name=b"", listen_idle=True,
        freed=freed.set_result, lost=lambda _: None, crashed=freed.set_exception,
    )  # fmt: skip
    with socket.create_server(("127.0.0.1", 0)) as listener:
        connection, made = Connection(floor), socket.socket()
        made.setblocking(False)
        seq = recording.plan(time.monotonic_ns(), Lane.REUSE)
        connection.dial(Route(made, listener.getsockname()), seq, prepare(RequestShape(), Lane.REUSE, "test", {}))
        theirs, _ = listener.accept()
    theirs.recv(1000)
    theirs.sendall(ANSWER)
    assert await freed is connection
    return connection, recording, theirs


@pytest.mark.parametrize(
    ("done", "usable"),
    [
        (lambda _: None, True),
        (lambda theirs: theirs.shutdown(socket.SHUT_WR), False),
        (lambda theirs: theirs.close(), False),
        (lambda theirs: theirs.sendall(b"x"), False),
    ],
    ids=["nothing", "half closed", "closed", "said something"],
)
def test_a_look_sees_what_the_loop_has_not_seen_yet(done: object, usable: bool) -> None:
    async def main() -> bool:
        connection, _, theirs = await idle_connection()
        done(theirs)
        seen = connection.look()
        connection.close()
        theirs.close()
        return seen

    assert asyncio.run(main()) is usable


def test_its_repr_is_its_state() -> None:
    async def main() -> None:
        connection, _, theirs = await idle_connection()
        assert repr(connection) == "<Connection 1 '', 1 sent, idle>"
        connection.close()
        connection.close()
        assert repr(connection) == "<Connection 1 '', 1 sent, closed>"
        assert theirs.recv(1) == b""
        theirs.close()

    asyncio.run(main())


def test_the_end_of_an_idle_connection_is_counted_and_no_failure() -> None:
    async def main() -> Recording:
        connection, recording, theirs = await idle_connection()
        theirs.close()
        while connection.open:
            await asyncio.sleep(0)
        return recording

    recording = asyncio.run(main())
    assert (recording.closed_idle, recording.failed) == (1, 0)
