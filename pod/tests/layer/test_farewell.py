"""The end of idle connections, on real ones of this process: which are ended, and which are left."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator

import pytest

from lameduck_pod import farewell
from lameduck_pod.farewell import ESTABLISHED, STILL, Seen, idle


@pytest.mark.parametrize(
    ("sent_ago", "received_ago", "unread", "expected"),
    [
        (STILL, STILL, 0, True),
        (STILL, STILL, 1, False),
        (STILL - 1, STILL, 0, False),
        (STILL, STILL - 1, 0, False),
        (9_999, 9_999, 0, True),
    ],
)
def test_idle_is_what_has_nothing_unread_and_was_silent_both_ways(sent_ago, received_ago, unread, expected) -> None:
    assert idle(Seen(ESTABLISHED, 0, sent_ago, received_ago, unread)) is expected


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as one:
        yield one


@contextlib.contextmanager
def pair(listener: socket.socket) -> Iterator[tuple[socket.socket, socket.socket]]:
    """A client's and the server's end."""
    with socket.create_connection(listener.getsockname()) as client:
        server, _ = listener.accept()
        with server:
            yield client, server


def ended(client: socket.socket) -> bool:
    """Whether the client sees that the server has ended it, within a moment."""
    client.settimeout(0.2)
    try:
        return client.recv(1) == b""
    except TimeoutError:
        return False


def silence() -> None:
    time.sleep(1.5 * STILL / 1000)


def test_an_idle_connection_is_ended_and_its_client_is_still_heard(listener: socket.socket) -> None:
    with pair(listener) as (client, server):
        silence()
        assert farewell.say(lambda: False) == 0
        assert ended(client)
        client.sendall(b"late")
        assert server.recv(9) == b"late"


def test_a_connection_with_something_unread_or_just_read_is_left(listener: socket.socket) -> None:
    for _ in range(20):
        with pair(listener) as (unread, _), pair(listener) as (read, server), pair(listener) as (still, _):
            unread.sendall(b"GET")
            silence()
            before = time.monotonic()
            read.sendall(b"GET")
            server.recv(9)
            left = farewell.say(lambda: False)
            if time.monotonic() - before > 0.9 * STILL / 1000:
                continue  # this machine has stalled: "just" is over
            assert left == 2
            assert [ended(one) for one in (unread, read, still)] == [False, False, True]
            return
    raise AssertionError(f"never quick enough: all within {STILL} ms")


def test_nothing_is_ended_while_a_request_is_in_hand(listener: socket.socket) -> None:
    with pair(listener) as (client, _):
        silence()
        assert farewell.say(lambda: True) == 1
        assert not ended(client)
        assert farewell.say(lambda: False) == 0
        assert ended(client)


def test_connections_that_this_process_opened_are_not_its_clients(listener: socket.socket) -> None:
    with socket.create_server(("127.0.0.1", 0)) as database, pair(database) as (ours, theirs):
        database.close()  # as if another process listened
        silence()
        assert farewell.say(lambda: False) == 0
        assert not ended(theirs)
        assert not ended(ours)


def test_what_nobody_has_accepted_is_waited_for(listener: socket.socket) -> None:
    with socket.create_connection(listener.getsockname()):
        silence()
        assert farewell.say(lambda: False) == 1
