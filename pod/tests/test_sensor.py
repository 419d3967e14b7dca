"""What the sensors see of real connections, in a network namespace of their own."""

from __future__ import annotations

import socket
import threading
import time

import pytest

from lameduck_pod import procnet, quiet, sockdiag
from lameduck_pod.connections import CLOSE_WAIT, ESTABLISHED, LISTEN, address, text
from lameduck_pod.sensor import TRIES, Sensor
from lameduck_pod.spans import SECOND

TICK = 0.02  # five of the kernel's 4 ms jiffies: so far apart that their order is no chance


def look(server, **options):
    sensor = Sensor([server.port], **options)
    try:
        return sensor.look()
    finally:
        sensor.close()


def verdict(server) -> str:
    (row,) = look(server).rows
    return quiet.in_hand(row, 10 * SECOND)


def taken(server) -> str:
    """The verdict once the client's kernel has acknowledged the answer, which may take 40 ms."""
    while (now := verdict(server)) == "answer not yet taken by the client":
        pass
    return now


def test_a_request_is_in_hand_from_its_first_byte_to_its_last_answer(server) -> None:
    client, connection = server.pair()
    assert verdict(server) == ""
    time.sleep(TICK)
    client.sendall(b"GET / HTTP/1.1\r\n\r\n")
    assert verdict(server) == "unread request"
    connection.recv(4096)
    time.sleep(TICK)
    assert verdict(server) == "request in hand"
    connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    client.recv(4096)
    time.sleep(TICK)
    assert taken(server) == ""
    time.sleep(TICK)
    client.sendall(b"GET / HTTP/1.1\r\n\r\n")
    connection.recv(4096)
    assert verdict(server) == "request in hand"


def test_the_next_request_in_the_jiffy_of_the_last_answer_is_in_hand(server) -> None:
    client, connection = server.pair()
    for _ in range(50):
        server.exchange(client, connection)
        client.sendall(b"GET / HTTP/1.1\r\n\r\n")
        connection.recv(4096)
        assert verdict(server) == "request in hand"
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        client.recv(4096)
        assert taken(server) == ""


def test_an_answer_that_the_client_does_not_take_is_in_hand_even_after_the_close(server) -> None:
    client, connection = server.pair()
    server.exchange(client, connection)
    connection.setblocking(False)
    with pytest.raises(BlockingIOError):
        while True:
            connection.send(b"x" * 65536)
    assert verdict(server) == "answer not yet taken by the client"
    connection.close()
    assert verdict(server) == "answer not yet taken by the client"


def test_a_client_that_half_closed_still_waits_for_its_answer(server) -> None:
    client, connection = server.pair()
    time.sleep(TICK)
    client.sendall(b"GET / HTTP/1.1\r\n\r\n")
    connection.recv(4096)
    client.shutdown(socket.SHUT_WR)
    (row,) = look(server).rows
    assert row.state == CLOSE_WAIT
    assert quiet.in_hand(row, 10 * SECOND) == "request in hand"


def test_connections_that_nobody_has_accepted_are_counted(server) -> None:
    for _ in range(3):
        server.client()
    seen = look(server)
    assert (seen.backlog, seen.listening) == (3, True)


@pytest.mark.parametrize("closes_first", ["client", "server", "server with a reset"])
def test_no_connection_is_too_short_to_be_seen(server, closes_first) -> None:
    sensor = Sensor([server.port])
    for _ in range(100):
        client, connection = server.pair()
        server.exchange(client, connection)
        first, last = (client, connection) if closes_first == "client" else (connection, client)
        if closes_first == "server with a reset":
            first.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        first.close()
        last.close()
    end, state = time.monotonic() + 15, quiet.begin(0)
    while state.seen < 100 and time.monotonic() < end:
        seen = sensor.look()
        assert all(text(row.peer) == "127.0.0.1" for row in seen.ended)
        state, _ = quiet.step(quiet.Rules(), state, seen, 1)
    assert state.seen == 100
    sensor.close()


def test_the_pods_own_outgoing_connections_do_not_count(server) -> None:
    sensor = Sensor([server.port])
    database = socket.create_server(("127.0.0.1", 0))
    ours = socket.create_connection(database.getsockname())
    theirs, _ = database.accept()
    ours.sendall(b"SELECT 1")
    seen = sensor.look()
    assert (seen.rows, seen.backlog) == ((), 0)
    theirs.close()
    ours.close()
    assert sensor.look().ended == ()
    database.close()
    sensor.close()


def test_ipv4_clients_of_a_listener_for_both_families_are_seen_with_their_plain_address(network) -> None:
    listener = socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True)
    port = listener.getsockname()[1]
    clients = [socket.create_connection((to, port)) for to in ("127.0.0.1", "::1")]
    held = [listener.accept()[0] for _ in clients]
    for make in (sockdiag.SockDiag, procnet.ProcNet):
        rows = [row for row in make().all(port) if row.state == ESTABLISHED]
        assert {text(row.peer) for row in rows} == {"127.0.0.1", "::1"}
        assert {row.client.rpartition(":")[0] for row in rows} == {"127.0.0.1", "[::1]"}
    for one in (*clients, *held, listener):
        one.close()


def test_both_tables_see_the_same_connections_and_listeners(server) -> None:
    pairs = [server.pair() for _ in range(5)]
    pairs[0][0].sendall(b"unread")

    def seen(table):
        return sorted((r.state, r.port, r.peer_port, r.peer, r.rqueue, r.inode) for r in table.all(server.port))

    assert seen(sockdiag.SockDiag()) == seen(procnet.ProcNet())
    assert any(row.state == LISTEN for row in procnet.ProcNet().all(server.port))


def test_passive_opens_counts_every_accepted_connection(server, network) -> None:
    if not network:
        pytest.skip("needs a network namespace of its own: it counts for all of it")
    counter = procnet.PassiveOpens()
    for _ in range(50):
        server.short()
    assert counter.take() == 50
    assert counter.take() == 0


def test_without_ports_every_listener_counts_but_loopback_and_our_own(network) -> None:
    if not network:
        pytest.skip("needs a network namespace of its own")
    outside, own = (socket.create_server(("0.0.0.0", 0)) for _ in range(2))
    inside = socket.create_server(("127.0.0.1", 0))
    ports = {s: s.getsockname()[1] for s in (outside, own, inside)}
    clients = [socket.create_connection(("127.0.0.1", port)) for port in ports.values()]
    sensor = Sensor((), [ports[own]])
    assert sensor.listeners() == [ports[outside]]
    assert {row.port for row in sensor.look().rows} <= {ports[outside]}
    assert sensor.look().backlog == 1
    for one in (*clients, outside, own, inside):
        one.close()


class Fails:
    """A means that works for so many looks, and then no more."""

    def __init__(self, good: int = 0) -> None:
        self.good = good
        self.closed = False

    def all(self, _port: int = 0) -> list[object]:
        self.good -= 1
        if self.good < 0:
            raise OSError(5, "Input/output error")
        return []

    def close(self) -> None:
        self.closed = True


def test_one_failed_look_counts_as_traffic_and_some_in_a_row_change_the_means(server) -> None:
    bad = Fails()
    sensor = Sensor([server.port], tables=[("sock_diag", lambda: bad), ("/proc/net/tcp", procnet.ProcNet)])
    looks = [sensor.look() for _ in range(TRIES)]
    assert all("a look failed" in look.missed for look in looks)
    assert bad.closed
    assert sensor.how == "/proc/net/tcp and destroy events"
    assert sensor.problems == [f"sock_diag failed {TRIES} times in a row ([Errno 5] Input/output error)"]
    assert sensor.look().listening


def broken() -> Fails:
    raise PermissionError(1, "Operation not permitted")


def test_what_does_not_work_here_is_said_and_the_next_best_is_used(server) -> None:
    sensor = Sensor(
        [server.port],
        tables=[("sock_diag", broken), ("/proc/net/tcp", procnet.ProcNet)],
        counters=[("destroy events", broken), ("PassiveOpens", procnet.PassiveOpens)],
    )
    assert sensor.how == "/proc/net/tcp and PassiveOpens"
    assert sensor.problems[0] == "sock_diag does not work here ([Errno 1] Operation not permitted)"


def test_where_nothing_can_be_seen_that_is_no_silence(server) -> None:
    sensor = Sensor([server.port], tables=[("sock_diag", broken)], counters=[])
    assert sensor.blind
    assert sensor.look().missed == "nothing can be seen here"


def test_events_that_the_kernel_dropped_are_noticed(server) -> None:
    events = sockdiag.Destroyed()
    events.events.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    for _ in range(200):
        server.short()
    rows, lost = events.take()
    assert lost
    assert len(rows) < 200
    assert events.take() == ([], False)


def test_a_kernel_answer_that_is_cut_by_an_error_does_not_spoil_the_next_one(server) -> None:
    table = sockdiag.SockDiag()
    with pytest.raises(OSError):
        table.dump(255)
    assert [row.state for row in table.all(server.port)] == [LISTEN]


def test_gateways_are_read_as_addresses(network) -> None:
    assert all(address(text(gateway)) == gateway for gateway in procnet.gateways())


def test_looks_from_several_threads_do_not_mix(server) -> None:
    """`watch.describe` may look while another sensor does: each has sockets of its own."""
    pairs = [server.pair() for _ in range(20)]
    found = []
    threads = [threading.Thread(target=lambda: found.append(len(look(server).rows))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [len(pairs)] * 4
