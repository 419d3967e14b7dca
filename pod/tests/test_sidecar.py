"""The sidecar that answers preStop httpGet, and `run --until-quiet`, on real connections."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time

import pytest

from lameduck_pod.draining import Reader
from lameduck_pod.sidecar import same

TOKEN = "correct horse"
QUICK = ["--least", "0.5", "--quiet", "0.4"]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as s:
        return int(s.getsockname()[1])


class Caller:
    """What the kubelet does: one GET, and wait for the answer."""

    def __init__(self, port: int, path: str, token: str | None = None) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        header = f"Lameduck-Token: {token}\r\n" if token is not None else ""
        self.socket.sendall(f"GET {path} HTTP/1.1\r\nHost: pod\r\n{header}\r\n".encode())

    def answer(self) -> tuple[int, str]:
        self.socket.settimeout(40)
        with self.socket:
            got = b"".join(iter(lambda: self.socket.recv(65536), b"")).decode()
        head, _, body = got.partition("\r\n\r\n")
        return (int(head.split()[1]) if head else 0), body


@pytest.fixture
def sidecar(pods, network, server):
    """Starts one beside `server`; the pod, and a function that calls it."""

    def start(*argv, grace="30"):
        port = free_port()
        env = {"LAMEDUCK_POD": f"side-{os.getpid()}", "LAMEDUCK_TOKEN": TOKEN}
        pod = pods(
            "drain",
            "--listen",
            str(port),
            "--port",
            str(server.port),
            "--grace",
            grace,
            *QUICK,
            *argv,
            pid1=False,
            env=env,
        )
        pod.event("started")
        return pod, lambda path, token=None: Caller(port, path, token)

    return start


def test_the_hook_is_answered_when_traffic_is_gone_and_not_before(sidecar, server) -> None:
    pod, call = sidecar()
    client, connection = server.pair("127.0.0.5")
    client.sendall(b"GET /slow HTTP/1.1\r\n\r\n")
    connection.recv(4096)
    hook = call("/prestop", TOKEN)
    pod.event("prestop_started")
    time.sleep(1)
    assert "drained" not in pod.events()
    assert json.loads(call("/status").answer()[1])["phase"] == "draining"
    connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    status, why = hook.answer()
    assert status == 200
    assert why.startswith("quiet for ")
    assert pod.event("drained")["message"] == why.strip()
    assert call("/prestop", TOKEN).answer()[0] == 200


@pytest.mark.parametrize(("token", "said"), [(None, "no token"), ("", "no token"), ("correct horsf", "a wrong token")])
def test_a_stranger_cannot_make_the_pod_lame(sidecar, token, said) -> None:
    pod, call = sidecar()
    assert call("/prestop", token).answer()[0] == 403
    assert said in pod.event("refused")["message"]
    assert not Reader(f"side-{os.getpid()}", TOKEN).look()
    assert json.loads(call("/status").answer()[1])["phase"] == "serving"
    assert "lameduck_prestop_refused_total 1" in call("/metrics").answer()[1]


def test_a_drain_that_no_stop_signal_follows_ends_by_itself(sidecar) -> None:
    pod, call = sidecar("--reserve", "0.5", "--margin", "0.2", grace="2.5")
    hook = call("/prestop", TOKEN)
    pod.event("watching")  # which is said when it is published
    reader = Reader(f"side-{os.getpid()}", TOKEN)
    assert reader.look()
    assert hook.answer()[0] == 200
    pod.event("released")
    reader.next_look = 0
    assert not reader.look()
    assert json.loads(call("/status").answer()[1])["phase"] == "serving"
    assert call("/prestop", TOKEN).answer()[0] == 200
    assert pod.events().count("prestop_started") == 2


def test_two_hooks_share_one_drain(sidecar) -> None:
    pod, call = sidecar()
    hooks = [call("/prestop", TOKEN) for _ in range(2)]
    assert [hook.answer()[0] for hook in hooks] == [200, 200]
    assert pod.events().count("prestop_started") == 1


def test_the_kubelets_probes_are_known_by_the_callers_address(sidecar, server) -> None:
    _, call = sidecar()
    stop = threading.Event()

    def probe() -> None:
        while not stop.wait(0.3):
            server.short("127.0.0.1")

    thread = threading.Thread(target=probe)
    thread.start()
    status, why = call("/prestop", TOKEN).answer()
    stop.set()
    thread.join()
    assert (status, why.partition(" for")[0]) == (200, "quiet")


def test_stopped_while_a_hook_still_waits_it_says_what_it_waited_for(sidecar, server) -> None:
    """At the end of the grace period the kubelet ends the sidecar first."""
    pod, call = sidecar()
    client, connection = server.pair()
    client.sendall(b"GET /slow HTTP/1.1\r\n\r\n")
    connection.recv(4096)
    hook = call("/prestop", TOKEN)
    pod.event("watching")
    pod.until(lambda: json.loads(call("/status").answer()[1])["busy"], "busy")
    pod.process.terminate()
    assert pod.wait() == 0
    assert "the grace period was too short): 1 with a request in hand" in pod.event("cut")["message"]
    assert hook.answer() == (0, "")


def test_its_pages_are_there_without_a_token(sidecar) -> None:
    _, call = sidecar()
    assert call("/healthz").answer() == (200, "ok\n")
    assert "is serving" in call("/").answer()[1]
    assert call("/nothing").answer()[0] == 404
    metrics = call("/metrics").answer()[1]
    assert metrics.endswith("# EOF\n")
    assert "lameduck_draining 0" in metrics
    call("/prestop", TOKEN).answer()
    assert 'lameduck_drain_left_info{reason="quiet"} 1' in call("/metrics").answer()[1]


def test_callers_that_say_nothing_or_too_much_do_no_harm(sidecar) -> None:
    pod, call = sidecar()
    silent = [call("/healthz").socket for _ in range(3)]
    for one in silent:
        one.close()
    loud = call("/healthz").socket
    with contextlib.suppress(ConnectionError):  # closed with most of it unread
        assert call("/x", "y" * 20000).answer()[0] in (0, 404)
    loud.close()
    assert call("/healthz").answer() == (200, "ok\n")
    assert pod.process.poll() is None


def test_a_port_that_is_taken_is_a_usage_error(pods, server) -> None:
    pod = pods("drain", "--listen", str(server.port), "--any-caller", pid1=False)
    assert pod.wait() == 2
    assert "Address already in use" in "".join(pod.other)


def test_secrets_are_compared_whole() -> None:
    assert same("abc", "abc")
    for other in ("", "ab", "abcd", "abcabc", "abd", "é"):
        assert not same(other, "abc")
        assert not same("abc", other)


def test_run_until_quiet_needs_no_hook_at_all(pods, server, network, witness) -> None:
    """The command ends at once on SIGTERM, and is told only when the last request has been answered."""
    flags = ["--until-quiet", "--port", str(server.port), "--grace", "30", *QUICK]
    env = {"LAMEDUCK_POD": f"run-{os.getpid()}"}
    pod = pods("run", *flags, "--", *witness("0"), pid1=False, env=env)
    pod.word("ready")
    assert pod.event("ready")["message"].endswith(f"listens on {server.port}")
    client, connection = server.pair()
    client.sendall(b"GET /slow HTTP/1.1\r\n\r\n")
    connection.recv(4096)
    reader = Reader(f"run-{os.getpid()}")
    assert not reader.look()
    pod.process.terminate()
    pod.event("watching")
    reader.next_look = 0
    assert reader.look()
    time.sleep(0.8)
    assert "forwarded" not in pod.events()
    connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    assert pod.wait() == 0
    told = pod.event("forwarded")
    assert told["reason"] == "quiet", "and not because its time was over"
    assert told["waited_s"] >= 0.8 + 0.4
    assert pod.events() == ["started", "ready", "watching", "stop_signal", "forwarded", "exited"]


def test_run_until_quiet_names_who_was_still_busy_when_its_time_was_over(pods, server, network, witness) -> None:
    flags = ["--until-quiet", "--port", str(server.port), "--grace", "30", "--most", "700ms", *QUICK]
    pod = pods("run", *flags, "--", *witness("0"), pid1=False, env={"LAMEDUCK_POD": f"most-{os.getpid()}"})
    pod.word("ready")
    client, connection = server.pair()
    client.sendall(b"GET /for-ever HTTP/1.1\r\n\r\n")
    connection.recv(4096)
    pod.process.terminate()
    assert pod.wait() == 0
    told = pod.event("forwarded")
    assert (told["reason"], told["busy"], told["open"]) == ("most", 1, 1)
    assert "ran into --most, 0.7 s, 1 connection still active: 127.0.0.1:" in told["message"]
