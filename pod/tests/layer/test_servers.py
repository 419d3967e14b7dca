"""Every server, as a real process: what its clients see from the stop signal to the end."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time

import pytest
from layer_wire import ENDED, GTHREAD, GUNICORN, UVICORN, Connection, fresh

QUICK = {"LAMEDUCK_LEAST": "0.8", "LAMEDUCK_QUIET": "0.2", "LAMEDUCK_MOST": "40"}
ASGI = {
    "uvicorn": UVICORN,
    "uvicorn, 2 workers": ["uvicorn", "--port", "{port}", "--workers", "2", "asgi_app:app"],
    "gunicorn, uvicorn worker": [*GUNICORN, "-k", "uvicorn_worker.UvicornWorker", "asgi_app:app"],
    "hypercorn -w 0": ["hypercorn", "-w", "0", "-b", "127.0.0.1:{port}", "asgi_app:app"],
    "granian": ["granian", "--interface", "asgi", "--port", "{port}", "asgi_app:app"],
    "daphne": ["daphne", "-p", "{port}", "asgi_app:app"],
}
WSGI = {
    "gunicorn gthread": GTHREAD,
    "gunicorn sync": [*GUNICORN, "-w", "2", "wsgi_app:app"],
    "gunicorn gthread --preload": [*GUNICORN, "--threads", "8", "--preload", "wsgi_app:app"],
    "gunicorn gevent": [*GUNICORN, "-k", "gevent", "wsgi_app:app"],
    "granian wsgi": ["granian", "--interface", "wsgi", "--blocking-threads", "4", "--port", "{port}", "wsgi_app:app"],
    "waitress": ["python", "wsgi_app.py", "waitress", "{port}"],
    "cheroot": ["python", "wsgi_app.py", "cheroot", "{port}"],
    "gevent": ["python", "wsgi_app.py", "gevent", "{port}"],
    "werkzeug": ["python", "wsgi_app.py", "werkzeug", "{port}"],
}
OTHER = {
    "aiohttp": ["python", "aiohttp_app.py", "{port}"],
    "tornado": ["python", "tornado_app.py", "{port}"],
    "sanic": ["python", "sanic_app.py", "{port}"],
}
SERVERS = ASGI | WSGI | OTHER
TWO_WORKERS = {"uvicorn, 2 workers": 2, "gunicorn sync": 2}
NO_KEEP_ALIVE = {"gunicorn sync", "werkzeug"}


@pytest.mark.parametrize("name", SERVERS)
def test_it_serves_on_asks_clients_to_leave_and_stops_when_nothing_is_in_hand(name, start) -> None:
    server = start(SERVERS[name], held=True, **QUICK)
    if name in TWO_WORKERS:
        server.idle()  # the other one has started too
    pooled = [Connection(server.port) for _ in range(2)]
    answers = [connection.ask("/fast") for connection in pooled]
    assert all(answer.last == (name in NO_KEEP_ALIVE) for answer in answers)
    if name in NO_KEEP_ALIVE:
        for connection in pooled:
            connection.close()  # gunicorn waits for that, up to 2 s
    slow = Connection(server.port)
    slow.send("/slow")
    told = server.signal()
    server.event("lame-duck", TWO_WORKERS.get(name, 1))

    assert fresh(server.port, "/fast").last
    if name not in NO_KEEP_ALIVE:
        assert pooled[0].ask("/fast").last
        pooled[0].close()
        assert pooled[1].open(), "an idle connection was closed unasked"
        pooled[1].close()
    server.release()
    finished = slow.answer()
    assert (finished.status, finished.last) == (200, True)
    slow.close()
    assert server.event("drained", TWO_WORKERS.get(name, 1))["in_flight"] == 0
    assert server.wait() in ENDED
    assert time.monotonic() - told > 0.75


@pytest.mark.parametrize("name", ["uvicorn", "gunicorn gthread", "waitress"])
def test_without_the_layer_the_same_server_fails_the_same_test(name, start) -> None:
    server = start(SERVERS[name], LAYER="off", **QUICK)
    pooled = Connection(server.port)
    pooled.ask("/fast")
    server.signal()
    server.wait()
    with pytest.raises(OSError):
        fresh(server.port, "/fast")
    assert not pooled.open()


@pytest.mark.parametrize(
    "name", ["uvicorn", "gunicorn gthread", "hypercorn -w 0", "granian wsgi", "waitress", "aiohttp"]
)
def test_a_second_signal_means_at_once(name, start) -> None:
    server = start(SERVERS[name], LAMEDUCK_LEAST="30", LAMEDUCK_MOST="30")
    server.signal()
    server.event("lame-duck")
    time.sleep(0.15)  # sooner it is the same stop
    worker = _serving_process(server.pid)
    os.kill(worker, signal.SIGTERM)
    assert "second signal" in server.event("drained")["message"]
    server.wait()


@pytest.mark.parametrize("name", ["uvicorn", "gunicorn gthread", "waitress", "aiohttp"])
def test_ctrl_c_is_not_delayed(name, start) -> None:
    server = start(SERVERS[name], LAMEDUCK_LEAST="30", LAMEDUCK_MOST="30")
    server.idle()  # gunicorn's gthread worker, with or without the layer, can lock itself up when it is busy
    sent = server.signal(signal.SIGINT)
    server.wait()
    assert time.monotonic() - sent < 20


@pytest.mark.parametrize("name", ["uvicorn", "waitress"])
def test_the_budget_ends_it_with_work_in_hand(name, start) -> None:
    server = start(SERVERS[name], held=True, LAMEDUCK_LEAST="0.1", LAMEDUCK_MOST="0.4")
    slow = Connection(server.port)
    slow.send("/slow")
    fresh(server.port, "/fast")  # the slow one is in hand: it came before
    server.signal()
    assert server.event("drained")["in_flight"] == 1
    server.release()
    server.wait()


def test_as_pid_1_a_server_without_a_handler_hears_the_signal(start) -> None:
    mine = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    below = ["unshare", *mine, "--pid", "--fork", "--kill-child", "--mount-proc", "--"]
    if subprocess.run([*below, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this user may not make a PID namespace")
    server = start(SERVERS["waitress"], below, **QUICK)
    server.signal()
    server.event("lame-duck")
    assert fresh(server.port, "/fast").last
    assert server.wait() in ENDED


@pytest.mark.parametrize("name", ["uvicorn", "gunicorn gthread", "granian wsgi"])
def test_readiness_fails_at_once_where_it_is_asked_to_and_liveness_never(name, start) -> None:
    server = start(SERVERS[name], **QUICK, LAMEDUCK_READINESS="fail", LAMEDUCK_READINESS_PATH="/ready")
    assert fresh(server.port, "/ready").status == 200
    server.signal()
    server.event("lame-duck")
    assert fresh(server.port, "/ready").status == 503
    assert fresh(server.port, "/live").status == 200


def test_probes_do_not_count_as_traffic(start) -> None:
    server = start(SERVERS["uvicorn"], LAMEDUCK_LEAST="0.3", LAMEDUCK_QUIET="0.5", LAMEDUCK_MOST="60")
    server.signal()
    server.event("lame-duck")
    probing = threading.Event()

    def probe() -> None:
        while not probing.wait(0.1):
            try:
                connection = Connection(server.port)
                connection.ask("/live", "kube-probe/1.34")
            except OSError:
                return

    thread = threading.Thread(target=probe)
    thread.start()
    try:
        assert server.wait() in ENDED
    finally:
        probing.set()
        thread.join()


UNTOLD = {
    "by an event and not by a signal": ["hypercorn", "-b", "127.0.0.1:{port}", "asgi_app:app"],
    "by other signals": ["uwsgi", "--http11-socket", "127.0.0.1:{port}", "--master", "--module", "wsgi_app:app"],
}


@pytest.mark.parametrize("why", UNTOLD)
def test_workers_that_never_see_the_signal_say_so(why, start) -> None:
    assert why in start(UNTOLD[why], **QUICK).event("not-held")["message"]


def _serving_process(pid: int) -> int:
    """The worker, or the process itself where it has none."""
    children = [int(p) for p in open(f"/proc/{pid}/task/{pid}/children").read().split()]  # noqa: PTH123, SIM115
    return children[-1] if children else pid
