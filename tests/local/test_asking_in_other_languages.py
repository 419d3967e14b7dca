"""Probes over HTTPS and gRPC, against servers that speak them with libraries of their own."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import which
from subprocess import run

import h2.config
import h2.connection
import h2.events
import pytest
from tests.local.test_probing import OK, outcome

from lameduck.core.instants import SECOND
from lameduck.local import health
from lameduck.local.asking import Question


@contextmanager
def serving(talk: Callable[[socket.socket], None]) -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                talk(connection)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        thread.join(5)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    if not which("openssl"):
        pytest.skip("openssl makes the test's certificate, and is not installed")
    folder = tmp_path_factory.mktemp("tls")
    key, pem = folder / "key.pem", folder / "cert.pem"
    words = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=elsewhere"]
    run([*words, "-keyout", str(key), "-out", str(pem)], check=True, capture_output=True, timeout=30)
    return pem, key


@pytest.mark.parametrize(("answer", "said"), [(OK, (True, "")), (b"HTTP/1.1 503 No\r\n\r\n", (False, "answered 503"))])
def test_https_is_asked_without_verifying_the_certificate(
    certificate: tuple[Path, Path], answer: bytes, said: tuple[bool, str]
) -> None:
    asked: list[bytes] = []

    def talk(plain: socket.socket) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
        with context.wrap_socket(plain, server_side=True) as connection:
            asked.append(connection.recv(4096))
            connection.sendall(answer)

    with serving(talk) as port:
        ok, message = outcome(Question("probe", "127.0.0.1", port, "/ready", 5 * SECOND, scheme="https"))
    assert (ok, message.rpartition(": ")[2]) == said
    assert asked[0].startswith(b"GET /ready HTTP/1.1\r\n")


def test_https_to_a_server_that_speaks_none_is_a_failure_in_words() -> None:
    def talk(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")

    with serving(talk) as port:
        ok, message = outcome(Question("probe", "127.0.0.1", port, "/", 5 * SECOND, scheme="https"))
    assert not ok
    assert message.startswith(f"GET / on port {port}: ") and "errno" not in message.lower()
    assert "wrong version number" in message or "record" in message


def grpc_server(answers: bytes | None, seen: dict[str, bytes]) -> Callable[[socket.socket], None]:
    """A server of real HTTP/2 that answers a call with this message, or with an error where it is None."""

    def talk(connection: socket.socket) -> None:
        state = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
        state.initiate_connection()
        connection.sendall(state.data_to_send())
        while data := connection.recv(4096):
            for event in state.receive_data(data):
                if isinstance(event, h2.events.RequestReceived):
                    seen.update({name: value.encode() for name, value in event.headers})
                elif isinstance(event, h2.events.DataReceived):
                    seen["message"] = event.data
                elif isinstance(event, h2.events.StreamEnded):
                    head = [(":status", "200"), ("content-type", "application/grpc")]
                    if answers is None:
                        state.send_headers(event.stream_id, [*head, ("grpc-status", "12")], end_stream=True)
                    else:
                        state.send_headers(event.stream_id, head)
                        state.send_data(event.stream_id, b"\x00" + len(answers).to_bytes(4, "big") + answers)
                        state.send_headers(event.stream_id, [("grpc-status", "0")], end_stream=True)
            connection.sendall(state.data_to_send())

    return talk


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"\x08\x01", (True, "")),
        (b"\x08\x02", (False, "it says NOT_SERVING")),
        (b"\x08\x03", (False, "it says SERVICE_UNKNOWN")),
        (b"", (False, "it says UNKNOWN")),
        (None, (False, "it has no grpc.health.v1.Health, or does not know the service")),
    ],
)
@pytest.mark.parametrize("service", ["", "shop.v1.Cart", "s" * 300])
def test_a_grpc_probe_succeeds_where_the_health_service_says_serving(
    answer: bytes | None, said: tuple[bool, str], service: str
) -> None:
    seen: dict[str, bytes] = {}
    with serving(grpc_server(answer, seen)) as port:
        ok, message = outcome(Question("probe", "127.0.0.1", port, service, 5 * SECOND, scheme="grpc"))
    assert (ok, message.rpartition(": ")[2]) == said
    assert (seen[":path"], seen[":method"], seen["te"]) == (b"/grpc.health.v1.Health/Check", b"POST", b"trailers")
    assert seen["content-type"] == b"application/grpc" and seen[":authority"] == f"127.0.0.1:{port}".encode()
    length = int.from_bytes(seen["message"][1:5], "big")
    assert length == len(seen["message"]) - 5 == (len(service) + (3 if len(service) > 127 else 2) if service else 0)


@pytest.mark.parametrize(
    ("says", "message"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "it speaks HTTP/1.1, not gRPC"),
        (b"", "closed without a gRPC answer"),
        (b"\x00\x00\x08\x07\x00\x00\x00\x00\x00" + bytes(8), "it refused the call"),
        (b"\x00\x00\x04\x03\x00\x00\x00\x00\x01" + bytes(4), "it has no grpc.health.v1.Health"),
    ],
)
def test_who_speaks_no_grpc_fails_in_words(says: bytes, message: str) -> None:
    def talk(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(says)

    with serving(talk) as port:
        ok, told = outcome(Question("probe", "127.0.0.1", port, "", 5 * SECOND, scheme="grpc"))
    assert not ok
    assert told.startswith(f"the gRPC health check on port {port}: {message}")


def test_an_answer_in_pieces_is_waited_for() -> None:
    whole = (
        b"\x00\x00\x00\x04\x00\x00\x00\x00\x00" + b"\x00\x00\x07\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x02\x08\x01"
    )
    for end in range(len(whole)):
        assert health.judged(whole[:end], closed=False) is None
    assert health.judged(whole, closed=False) == (True, "")
    padded = b"\x00\x00\x0a\x00\x08\x00\x00\x00\x01\x02" + b"\x00\x00\x00\x00\x02\x08\x01" + b"\x00\x00"
    assert health.judged(padded, closed=False) == (True, "")
