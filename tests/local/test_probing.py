"""What a holder asks and sees: probes, hooks over HTTP, listeners, what process 1 does with a signal."""

import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lameduck.core.instants import MILLISECOND, SECOND
from lameduck.local import listeners, processes
from lameduck.local.asking import Asking, Question
from lameduck.local.listeners import Listener, Listeners
from lameduck.local.ports import PortChoice, free_port


@contextmanager
def answering(answer: bytes, *, close: bool = True, wait: float = 0) -> Iterator[tuple[int, list[bytes]]]:
    """A server that says this to whoever asks; its port, and what it was asked."""
    asked: list[bytes] = []
    held: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                asked.append(connection.recv(4096))
                time.sleep(wait)
                connection.sendall(answer)
                held.append(connection)
                if close:
                    connection.close()

        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()[1], asked
        for each in held:
            each.close()


def outcome(question: Question) -> tuple[bool, str]:
    """Drive a question to its end as a holder does."""
    asking = Asking(question)
    poll = select.poll()
    while (result := asking.poll()) is None:
        poll.register(asking.socket, asking.events)
        poll.poll(20)
    asking.close()
    return result


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@pytest.mark.parametrize(
    ("answer", "ok", "message"),
    [
        (OK, True, ""),
        (b"HTTP/1.0 204 No Content\r\n\r\n", True, ""),
        (b"HTTP/1.1 302 Found\r\n\r\n", True, ""),
        (b"HTTP/1.1 399 Odd\r\n\r\n", True, ""),
        (b"HTTP/1.1 400 Bad\r\n\r\n", False, "answered 400"),
        (b"HTTP/1.1 503 Not now\r\n\r\n", False, "answered 503"),
        (b"HTTP/1.1 199 Odd\r\n\r\n", False, "answered 199"),
        (b"", False, "closed without an HTTP answer"),
        (b"hello\r\n", False, "closed without an HTTP answer"),
    ],
)
def test_an_http_probe_succeeds_from_200_to_399(answer: bytes, ok: bool, message: str) -> None:
    with answering(answer) as (port, asked):
        result = outcome(Question("probe", "127.0.0.1", port, "/ready", timeout=SECOND))
        assert result == (ok, f"GET /ready on port {port}: {message}" if message else "")
        assert asked[0].startswith(b"GET /ready HTTP/1.1\r\n") and b"kube-probe" in asked[0]


def test_an_answer_of_known_length_need_not_end_with_the_connection() -> None:
    with answering(OK, close=False) as (port, _):
        begun = time.monotonic()
        assert outcome(Question("probe", "127.0.0.1", port, "/", timeout=5 * SECOND)) == (True, "")
        assert time.monotonic() - begun < 4


@pytest.mark.parametrize("path", ["", "/"])
def test_a_probe_that_nobody_takes_says_what_the_kernel_said(path: str) -> None:
    port = free_port()
    ok, message = outcome(Question("probe", "127.0.0.1", port, path, timeout=SECOND))
    assert not ok and message.endswith("connection refused") and str(port) in message


def test_a_probe_without_an_answer_ends_at_its_time_out() -> None:
    with answering(OK, wait=60) as (port, _):
        begun = time.monotonic()
        ok, message = outcome(Question("probe", "127.0.0.1", port, "/", timeout=200 * MILLISECOND))
        assert not ok and message.endswith("no answer within 0.2 s")
        assert 0.2 <= time.monotonic() - begun < 10


def test_a_tcp_probe_needs_no_more_than_the_connection() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        assert outcome(Question("probe", "127.0.0.1", listener.getsockname()[1], timeout=SECOND)) == (True, "")


@pytest.mark.parametrize("answer", [OK, b"HTTP/1.1 404 Not Found\r\n\r\n", b"HTTP/1.1 500 Oh\r\n\r\n"])
def test_a_hook_is_content_with_any_answer_and_with_its_first_line(answer: bytes) -> None:
    with answering(answer, close=False, wait=0.3) as (port, _):
        assert outcome(Question("hook", "127.0.0.1", port, "/stop", any_status=True)) == (True, "")


@contextmanager
def listening() -> Iterator[dict[str, int]]:
    """One listener of every kind; its port by kind."""
    v6 = socket.socket(socket.AF_INET6)
    v6.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    v6.bind(("::ffff:127.0.0.1", 0))
    v6.listen()
    sockets = {
        "any": socket.create_server(("0.0.0.0", 0)),
        "loopback": socket.create_server(("127.0.0.1", 0)),
        "another": socket.create_server(("127.0.0.9", 0)),
        "dual": socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True),
        "v6only": socket.create_server(("::", 0), family=socket.AF_INET6),
        "v6loopback": socket.create_server(("::1", 0), family=socket.AF_INET6),
        "mapped": v6,
    }
    held = []  # on this machine others listen too, and a client may meet itself: of IPv4 their ports are ours
    for kind in ("v6only", "v6loopback"):
        while True:
            held.append(socket.socket())
            try:
                held[-1].bind(("0.0.0.0", sockets[kind].getsockname()[1]))
                break
            except OSError:  # somebody listens there
                held.append(sockets[kind])
                sockets[kind] = socket.create_server((sockets[kind].getsockname()[0], 0), family=socket.AF_INET6)
    try:
        yield {kind: each.getsockname()[1] for kind, each in sockets.items()}
    finally:
        for each in (*sockets.values(), *held):
            each.close()


def test_who_listens_reaches_an_address_as_connections_would() -> None:
    with listening() as ports:
        seen = Listeners().now()
        assert {one.port for one in seen} >= set(ports.values())
        for kind, port in ports.items():
            for address in ("127.0.0.1", "127.0.0.9"):
                with socket.socket() as client:
                    reached = client.connect_ex((address, port)) == 0
                told = any(one.port == port and one.reaches(address) for one in seen)
                assert told == reached, (kind, address)
    assert not ({one.port for one in Listeners().now()} & set(ports.values()))


def test_without_netlink_proc_says_the_same_but_for_v6only() -> None:
    with listening() as ports:
        mine = set(ports.values())
        read = {one for name in ("tcp", "tcp6") for one in listeners._from_proc(name) if one.port in mine}
        seen = {one for one in Listeners().now() if one.port in mine}
        assert {one.port for one in seen if one.v6only} >= {ports["v6only"]}
        assert read == {one._replace(v6only=False) for one in seen}


def test_a_listener_reads_as_people_write_it() -> None:
    assert [str(Listener(a, 80)) for a in ("0.0.0.0", "::")] == ["0.0.0.0:80", "[::]:80"]


@pytest.mark.parametrize(
    ("code", "caught", "ignored"),
    [
        ("", False, False),
        ("signal.signal(15, lambda *_: None)", True, False),
        ("signal.signal(15, signal.SIG_IGN)", False, True),
        ("signal.pthread_sigmask(signal.SIG_BLOCK, {15})", True, False),
        ("signal.signal(2, lambda *_: None)", False, False),
        ("signal.pthread_sigmask(signal.SIG_BLOCK, {15}); signal.pause = lambda: signal.sigwait({1, 15})", True, False),
        ("signal.pthread_sigmask(signal.SIG_BLOCK, {1}); signal.pause = lambda: signal.sigwait({1})", False, False),
    ],
)
def test_what_a_process_does_with_its_stop_signal_is_read_from_the_kernel(
    code: str, caught: bool, ignored: bool
) -> None:
    program = f"import signal\n{code}\nprint('up', flush=True)\nsignal.pause()"
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        while Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()[0] != "S":
            time.sleep(0.001)  # in the call that it waits in
        told = processes.reaction(child.pid, signal.SIGTERM)
        child.kill()
    assert (told["caught"], told["ignored"]) == (caught, ignored)
    assert told["pid1"].startswith("python") and told["children"] == [] and told["is_shell"] is False
    assert processes.reaction(child.pid, signal.SIGTERM) == {}


NOW = 100 * SECOND


def heard(choice: PortChoice, *ports: int, at: int = NOW) -> str:
    return choice.heard([(port, f"0.0.0.0:{port}", True) for port in ports], at)


def settled(choice: PortChoice, *ports: int, at: int) -> int:
    return choice.of("pod", [(port, f"0.0.0.0:{port}", True) for port in ports], at)


def test_the_port_that_was_told_is_taken_at_once_whatever_else_listens() -> None:
    choice = PortChoice(None, 8080)
    assert heard(choice, 9090, 8080) == "" and choice.chosen == 8080


def test_another_port_is_taken_once_it_has_been_the_only_one_for_a_second() -> None:
    choice = PortChoice(None, 8080)
    assert heard(choice, 3000) == ""
    assert settled(choice, 3000, at=NOW + SECOND - 1) == 0
    assert settled(choice, 3000, at=NOW + SECOND) == 3000 == choice.chosen


def test_a_second_port_in_that_second_is_an_error_that_names_both() -> None:
    choice = PortChoice(None, 8080)
    heard(choice, 9090)
    problem = heard(choice, 9090, 3000, at=NOW + 1)
    assert "(3000, 9090)" in problem and "--port" in problem


def test_a_port_nobody_outside_reaches_is_none() -> None:
    choice = PortChoice(None, 8080)
    assert choice.heard([(8080, "127.0.0.1:8080", False)], NOW) == "" and choice.chosen is None


def test_a_named_port_needs_no_choice() -> None:
    choice = PortChoice(9000, 8080)
    assert heard(choice, 3000, 4000) == "" and settled(choice, 3000, at=NOW) == 9000
