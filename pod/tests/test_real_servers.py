"""`run` in front of servers that people run: the stop signal that each of them understands (C91)."""

from __future__ import annotations

import http.client
import shutil
import signal
import socket
import threading
import time

import pytest

PATIENCE = 40.0  # seconds
NGINX = """
user root; daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log stderr;
events {{ worker_connections 64; }}
http {{
  access_log off;
  client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c;
  uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;
  server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://127.0.0.1:{slow}; }} }}
}}
"""


class Slow:
    """A backend that answers all at once, when the test says so."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.listener.getsockname()[1]
        self.asked: list[socket.socket] = []
        self.news = threading.Condition()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            connection.recv(4096)
            with self.news:
                self.asked.append(connection)
                self.news.notify_all()

    def until(self, count: int) -> None:
        with self.news:
            assert self.news.wait_for(lambda: len(self.asked) >= count, PATIENCE)

    def answer(self) -> None:
        for connection in self.asked:
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
            connection.close()

    def close(self) -> None:
        self.listener.close()
        for connection in self.asked:
            connection.close()


@pytest.fixture
def slow():
    backend = Slow()
    yield backend
    backend.close()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@pytest.mark.skipif(not shutil.which("nginx"), reason="nginx is not installed here")
@pytest.mark.parametrize(("options", "served"), [(["--stop-signal", "QUIT"], 4), ([], 0)], ids=["QUIT", "TERM"])
def test_nginx_serves_what_is_in_hand_only_when_it_is_told_by_its_own_signal(
    pods, slow, tmp_path, options, served
) -> None:
    """C91: SIGTERM is the violent one for nginx. `run` gets SIGTERM from the kubelet and sends QUIT."""
    port, answers = free_port(), []
    conf = tmp_path / "nginx.conf"
    conf.write_text(NGINX.format(folder=tmp_path, port=port, slow=slow.port))
    pod = pods(
        "run", *options, "--port", str(port), "--grace", "30", "--", "nginx", "-p", str(tmp_path), "-c", str(conf)
    )
    pod.event("ready")

    def ask() -> None:
        client = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
        try:
            client.request("GET", "/")
            answers.append(client.getresponse().status)
        except (OSError, http.client.HTTPException):
            answers.append(0)

    clients = [threading.Thread(target=ask) for _ in range(4)]
    for client in clients:
        client.start()
    slow.until(4)
    pod.signal(signal.SIGTERM)
    pod.event("forwarded")
    if served:
        time.sleep(0.2)  # long enough for a wrong signal to have cut them
        slow.answer()
    for client in clients:
        client.join(PATIENCE)
    assert pod.wait() == 0
    assert answers == ([200] * 4 if served else [0] * 4)
    assert pod.event("forwarded")["signal"] == ("SIGQUIT" if served else "SIGTERM")
