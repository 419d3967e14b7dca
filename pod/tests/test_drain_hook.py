"""`lameduck-pod drain` as an exec hook, on real connections in a network namespace of its own."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import socket
import struct
import threading
import time

import pytest

from lameduck_pod.draining import Reader

BUSY = 5.0
"""Seconds that a machine with other work may be late; still far from `--most`."""
QUICK = ["--least", "0.5", "--quiet", "0.4", "--grace", "30"]


@pytest.fixture
def drain(pods, network):
    """Starts the hook, and comes back when it watches."""

    def start(*argv, least=QUICK, env=None, **more):
        env = {"LAMEDUCK_POD": f"hook-{os.getpid()}", **(env or {})}
        pod = pods("drain", *least, *argv, pid1=False, env=env, **more)
        pod.event("watching")
        return pod

    return start


def gone(pod) -> dict:
    assert pod.wait() == 0
    return pod.event("drained")


def test_20_idle_pooled_connections_hold_nothing_and_a_long_request_does(drain, server) -> None:
    """C97."""
    pairs = [server.pair() for _ in range(20)]
    for pair in pairs:
        server.exchange(*pair)
    left = gone(drain("--port", str(server.port)))
    assert left["reason"] == "quiet"
    assert 0.5 <= left["took_s"] < 0.9 + BUSY
    assert left["open"] == 20

    client, connection = pairs[7]
    client.sendall(b"GET /slow HTTP/1.1\r\n\r\n")
    connection.recv(4096)
    pod = drain("--port", str(server.port))
    time.sleep(1.2)
    assert pod.process.poll() is None
    answered = time.monotonic()
    connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    left = gone(pod)
    assert left["reason"] == "quiet"
    assert 0.4 <= time.monotonic() - answered < 0.4 + 0.3 + BUSY


@pytest.mark.parametrize("without", [[], ["destroy-events"], ["sock_diag"], ["sock_diag", "destroy-events"]])
def test_it_leaves_when_the_last_short_connection_is_quiet_ago_by_whatever_means(
    drain, server, network, without
) -> None:
    if without and not network:
        pytest.skip("needs a network namespace of its own")
    flags = [word for means in without for word in ("--without", means)]
    pod = drain("--port", str(server.port), "--kubelet", "192.0.2.1", *flags)
    times = []
    end = time.monotonic() + 1.5
    while time.monotonic() < end:
        for _ in range(5):
            server.short()
        times.append(time.monotonic())
        time.sleep(0.05)
    left = gone(pod)
    at = left["monotonic_ns"] / 1e9
    assert left["reason"] == "quiet"
    last = max(t for t in times if t < at)  # not times[-1]: this test may stall and be quiet for a while itself
    assert 0.2 < at - last < 0.4 + 0.3 + BUSY
    assert left["connections_seen"] > 10 or last < times[-1]


def test_clients_that_nobody_sends_away_are_given_up_and_it_says_what_to_do(drain, server) -> None:
    pairs = [server.pair() for _ in range(4)]
    stop = threading.Event()

    def busy() -> None:
        while not stop.is_set():
            for pair in pairs:
                server.exchange(*pair)
            time.sleep(0.02)

    thread = threading.Thread(target=busy)
    thread.start()
    left = gone(drain("--port", str(server.port), "--stuck", "1", least=[*QUICK, "--quiet", "5"]))  # it may stall
    stop.set()
    thread.join()
    assert left["reason"] == "stuck"
    assert "4 kept-alive connections stay in use" in left["message"]
    assert "Connection: close" in left["message"]


def test_a_server_that_reads_draining_sends_its_clients_away_and_nothing_holds(drain, server) -> None:
    pairs = [server.pair() for _ in range(4)]
    reader = Reader(f"hook-{os.getpid()}")
    told = threading.Event()

    def busy() -> None:
        while pairs:
            for pair in list(pairs):
                server.exchange(*pair)
                if reader.look(len(pairs)):
                    told.set()
                    pair[1].close()
                    pair[0].close()
                    pairs.remove(pair)
            time.sleep(0.02)
        reader.look(0)

    thread = threading.Thread(target=busy)
    thread.start()
    left = gone(drain("--port", str(server.port)))
    thread.join()
    assert told.is_set()
    assert (left["reason"], left["open"], left["reported_in_flight"]) == ("quiet", 0, 0)
    assert left["took_s"] < 1.2 + BUSY
    reader.close()


def test_work_that_the_server_reports_is_waited_for(drain, server) -> None:
    client, connection = server.pair()
    client.sendall(b"GET /slow HTTP/1.1\r\n\r\n")
    connection.recv(4096)  # holds it until the server has reported
    pod = drain("--port", str(server.port))
    reader = Reader(f"hook-{os.getpid()}")
    assert reader.look(1)
    connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    client.recv(4096)
    time.sleep(1)
    assert pod.process.poll() is None
    reader.look(0)
    assert gone(pod)["reason"] == "quiet"
    reader.close()


def test_a_request_for_ever_runs_into_most_and_is_named(drain, server) -> None:
    client, connection = server.pair()
    client.sendall(b"GET /slow HTTP/1.1\r\n\r\n")
    connection.recv(4096)
    left = gone(drain("--port", str(server.port), "--most", "1"))
    assert left["reason"] == "most"
    name = ":".join(map(str, client.getsockname()))
    assert f"1 connection still active: {name} (request in hand" in left["message"]


def test_probes_of_the_kubelet_do_not_hold_it_and_other_clients_do(drain, server) -> None:
    stop = threading.Event()

    def probe() -> None:
        while not stop.wait(0.3):
            server.short("127.0.0.9")

    thread = threading.Thread(target=probe)
    thread.start()
    try:
        told = gone(drain("--port", str(server.port), "--kubelet", "127.0.0.9"))
        ignored = gone(drain("--port", str(server.port), "--ignore", "127.0.0.8/29"))
        neither = gone(drain("--port", str(server.port), "--most", "2.5", least=[*QUICK, "--quiet", "2"]))
    finally:
        stop.set()
        thread.join()
    assert (told["reason"], ignored["reason"], neither["reason"]) == ("quiet", "quiet", "most")
    assert told["took_s"] < 1.2 + BUSY


def test_a_port_that_nobody_listens_on_is_said_with_the_ports_that_are(drain, network) -> None:
    with socket.create_server(("0.0.0.0", 0)) as other:
        left = gone(drain("--port", "9"))
        assert left["reason"] == "nobody listens"
        assert str(other.getsockname()[1]) in left["message"].partition("Listened on here: ")[2]


def test_an_unknown_grace_period_and_a_floor_beyond_the_end_are_said(drain, server) -> None:
    pod = drain("--port", str(server.port), "--most", "0.3", least=["--balancer", "10x3"])
    assert gone(pod)["reason"] == "most"
    assert "the floor of 40 s is beyond the end" in pod.event("warning")["message"]
    pod = drain("--port", str(server.port), least=["--least", "0.3", "--quiet", "0.3"])
    assert "the grace period is unknown: leaving after 20 s at the latest" in pod.event("warning")["message"]
    gone(pod)


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("setpriv"), reason="needs root, to become somebody else")
def test_it_needs_no_privilege_and_writes_nothing(drain, server) -> None:
    """C95: uid 65532, no capabilities, no new privileges."""
    server.pair()
    below = ["setpriv", "--reuid=65532", "--regid=65532", "--clear-groups", "--bounding-set=-all", "--no-new-privs"]
    pod = drain("--port", str(server.port), below=below)
    assert pod.event("watching")["means"] == "sock_diag and destroy events"
    assert gone(pod)["open"] == 1


def no_netlink() -> None:
    """A seccomp filter that refuses sockets of the family AF_NETLINK, as hardened profiles do."""
    number = {"x86_64": 41, "aarch64": 198}[os.uname().machine]
    load, equal, leave, allow, refuse = 0x20, 0x15, 0x06, 0x7FFF0000, 0x00050000 | errno.EPERM
    rules = ((load, 0, 0, 0), (equal, 0, 3, number), (load, 0, 0, 16), (equal, 0, 1, socket.AF_NETLINK))
    rules = (*rules, (leave, 0, 0, refuse), (leave, 0, 0, allow))
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *rule) for rule in rules))
    program = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(rules), ctypes.addressof(code)))
    libc = ctypes.CDLL(None)
    if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, ctypes.byref(program), 0, 0):
        os._exit(99)


@pytest.mark.skipif(os.uname().machine not in ("x86_64", "aarch64"), reason="the filter knows two machines")
def test_where_sock_diag_is_forbidden_it_says_so_and_looks_by_other_means(drain, server, network) -> None:
    if not network:
        pytest.skip("PassiveOpens counts the whole network namespace")
    held = server.pair()  # without times, an open connection holds it
    pod = drain("--port", str(server.port), "--kubelet", "192.0.2.1", preexec_fn=no_netlink)
    assert pod.event("watching")["means"] == "/proc/net/tcp and PassiveOpens"
    pod.until(lambda: pod.events().count("warning") == 2, "both warnings")
    said = [e["message"] for e in pod.journal if e["event"] == "warning"]
    assert all("does not work here" in one and "Operation not permitted" in one for one in said)
    for _ in range(10):
        server.short()
    for one in held:
        one.close()
    left = gone(pod)
    assert left["reason"] == "quiet" and left["connections_seen"] > 0


def test_its_options_can_come_from_the_environment(drain, server) -> None:
    env = {"LAMEDUCK_PORT": f"{server.port},9", "LAMEDUCK_LEAST": "300ms", "LAMEDUCK_QUIET": "300ms"}
    pod = drain(least=[], env=env)
    assert pod.event("watching")["ports"] == [9, server.port]
    gone(pod)


def test_a_service_named_lameduck_does_not_set_its_port(drain, server) -> None:
    """Kubernetes gives each pod NAME_PORT=tcp://ADDRESS:PORT for each Service NAME."""
    pod = drain("--port", str(server.port), env={"LAMEDUCK_PORT": "tcp://10.96.0.7:80"})
    assert pod.event("watching")["ports"] == [server.port]
    gone(pod)
