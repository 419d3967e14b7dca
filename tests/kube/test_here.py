"""Where the load of this machine goes, and how it is looked after first."""

from __future__ import annotations

import asyncio
import socket
from contextlib import closing

import pytest

from lameduck.core.errors import EnvironmentFault
from lameduck.kube.here import ASIDE, reachable


@pytest.fixture
def server() -> socket.socket:
    return socket.create_server(("127.0.0.1", 0))


def test_a_service_is_asked_from_a_port_that_no_load_will_use(server: socket.socket) -> None:
    with closing(server):
        asyncio.run(reachable((socket.AF_INET, server.getsockname()), aside=True))
        connection, (_, port) = server.accept()
        connection.close()
    assert 2_000 <= port < 10_000


def test_a_port_that_is_taken_hinders_nothing(server: socket.socket) -> None:
    following = next(ASIDE) + 1
    with closing(server), closing(socket.create_server(("", following))):
        asyncio.run(reachable((socket.AF_INET, server.getsockname()), aside=True))


def test_where_nobody_listens_is_not_reachable(server: socket.socket) -> None:
    address = server.getsockname()
    server.close()
    with pytest.raises(EnvironmentFault, match="cannot reach"):
        asyncio.run(reachable((socket.AF_INET, address)))
