"""The middlewares, called as a server calls them: headers, streams, WebSockets, bodies, the publisher's word."""

from __future__ import annotations

import asyncio
import threading
import time
import uuid
from typing import Any

import pytest

from lameduck_pod import asgi, draining, farewell, journal, wsgi
from lameduck_pod.gate import CLOSED, DRAINING, LAME_DUCK, READY, State

QUICK: dict[str, Any] = {"least": 0.2, "quiet": 0.05, "most": 10}


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> str:
    """A pod's name of this test's own, and no journal."""
    name = f"test-{uuid.uuid4().hex[:12]}"
    monkeypatch.setenv("LAMEDUCK_POD", name)
    monkeypatch.setenv("LAMEDUCK_JOURNAL", "none")
    return name


def scope(path: str = "/", kind: str = "http", version: str = "1.1") -> dict[str, Any]:
    return {"type": kind, "path": path, "headers": [], "http_version": version, "method": "GET"}


def answering(*headers: tuple[bytes, bytes], bodies: tuple[bytes, ...] = (b"ok",)) -> asgi.App:
    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": list(headers)})
        for body in bodies[:-1]:
            await send({"type": "http.response.body", "body": body, "more_body": True})
        await send({"type": "http.response.body", "body": bodies[-1]})

    return app


def ask(app: asgi.App, wanted: dict[str, Any]) -> list[dict[str, Any]]:
    said: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        said.append(message)

    asyncio.run(app(wanted, receive, send))
    return said


def lame(app: Any) -> Any:
    app.layer.state, app.layer.lame = State(LAME_DUCK, time.monotonic_ns()), True
    return app


@pytest.mark.parametrize(
    ("version", "before", "after"),
    [
        ("1.1", [], [(b"connection", b"close")]),
        ("1.0", [(b"Connection", b"keep-alive")], [(b"connection", b"close")]),
        ("1.1", [(b"keep-alive", b"timeout=5"), (b"x", b"y")], [(b"x", b"y"), (b"connection", b"close")]),
        ("2", [(b"x", b"y")], [(b"x", b"y")]),
        ("3", [], []),
    ],
)
def test_a_lame_answer_is_its_connections_last_but_not_on_http_2(version, before, after) -> None:
    assert ask(lame(asgi.LameDuck(answering(*before))), scope(version=version))[0]["headers"] == after


def test_a_ready_answer_is_left_as_it_is() -> None:
    assert ask(asgi.LameDuck(answering((b"x", b"y"))), scope())[0]["headers"] == [(b"x", b"y")]


def test_an_event_stream_that_waits_is_ended_between_two_events_with_a_word_when_to_come_back() -> None:
    said: list[dict[str, Any]] = []

    async def main() -> None:
        waiting = asyncio.Event()

        async def app(_scope: Any, receive: Any, send: Any) -> None:
            await receive()
            headers = [(b"content-type", b"text/event-stream")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": b"data: 1\n\n", "more_body": True})
            waiting.set()
            assert (await receive())["type"] == "http.disconnect"

        duck = asgi.LameDuck(app, **QUICK)
        messages = [{"type": "http.request", "body": b"", "more_body": False}]

        async def receive() -> Any:
            if messages:
                return messages.pop()
            return await asyncio.Event().wait()

        async def send(message: Any) -> None:
            said.append(message)

        serving = asyncio.ensure_future(duck(scope(), receive, send))
        await waiting.wait()
        duck.layer._stop_signal()
        duck.layer.hold.pass_on = lambda: None
        await asyncio.wait_for(serving, 5)
        assert duck.layer.in_flight == 0

    asyncio.run(main())
    assert said[-1] == {"type": "http.response.body", "body": b"retry: 1000\n\n", "more_body": False}


def test_a_websocket_gets_1001_and_its_app_a_disconnect() -> None:
    said: list[dict[str, Any]] = []

    async def main() -> None:
        waiting = asyncio.Event()

        async def app(_scope: Any, receive: Any, send: Any) -> None:
            await receive()
            await send({"type": "websocket.accept"})
            waiting.set()
            message = await receive()
            assert (message["type"], message["code"]) == ("websocket.disconnect", 1001)

        duck = asgi.LameDuck(app, **QUICK)
        duck.layer.hold.pass_on = lambda: None
        first = [{"type": "websocket.connect"}]

        async def receive() -> Any:
            return first.pop() if first else await asyncio.Event().wait()

        async def send(message: Any) -> None:
            said.append(message)

        serving = asyncio.ensure_future(duck(scope(kind="websocket"), receive, send))
        await waiting.wait()
        duck.layer._stop_signal()
        await asyncio.wait_for(serving, 5)

    asyncio.run(main())
    assert [m["type"] for m in said] == ["websocket.accept", "websocket.close"]
    assert said[-1]["code"] == 1001


def environ(path: str = "/") -> dict[str, Any]:
    known = {"SERVER_PROTOCOL": "HTTP/1.1", "SERVER_SOFTWARE": "Werkzeug/3"}
    return {"PATH_INFO": path, "REQUEST_METHOD": "GET", **known}


def plain(_environ: Any, start_response: Any) -> list[bytes]:
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]


def test_a_wsgi_request_is_in_hand_until_its_body_is_closed() -> None:
    closed: list[bool] = []

    class Body:
        def __iter__(self):
            return iter([b"ok"])

        def close(self) -> None:
            closed.append(True)

    duck = wsgi.LameDuck(lambda _e, start: (start("200 OK", []), Body())[1])
    body = duck(environ(), lambda *_: None)
    assert list(body) == [b"ok"]
    assert duck.layer.in_flight == 1
    body.close()  # type: ignore[attr-defined]
    assert (duck.layer.in_flight, closed) == (0, [True])


def test_an_answer_that_starts_after_the_pod_began_to_drain_says_close_where_others_hold_the_signal(
    monkeypatch,
) -> None:
    said: list[Any] = []

    def slow(env: Any, start_response: Any) -> list[bytes]:
        layer._reader.until = time.monotonic_ns() + 10**10
        monkeypatch.setattr(layer._reader, "look", lambda _in_flight: True)
        layer._next_look = 0
        return plain(env, start_response)

    duck = wsgi.LameDuck(slow)
    layer = duck.layer
    layer._untold = "its workers are told otherwise"
    duck(environ(), lambda *words: said.append(words))
    assert ("Connection", "close") in said[0][1]


def test_an_app_that_raises_is_in_hand_no_longer() -> None:
    duck = wsgi.LameDuck(lambda _e, _s: 1 / 0)  # type: ignore[arg-type,return-value]
    with pytest.raises(ZeroDivisionError):
        duck(environ(), lambda *_: None)
    assert duck.layer.in_flight == 0


def test_servers_that_ask_for_the_length_of_a_body_get_it_and_generators_have_none() -> None:
    assert len(wsgi.LameDuck(plain)(environ(), lambda *_: None)) == 1  # type: ignore[arg-type]
    stream = wsgi.LameDuck(lambda _e, _s: (x for x in [b"a"]))(environ(), lambda *_: None)
    assert not hasattr(stream, "__len__")


def test_a_server_that_is_not_known_gets_no_header_that_it_may_refuse() -> None:
    said: list[Any] = []
    unknown = {**environ(), "SERVER_SOFTWARE": "WSGIServer/0.2"}
    lame(wsgi.LameDuck(plain))(unknown, lambda *words: said.append(words))
    assert said[0][1] == [("Content-Length", "2")]


@pytest.mark.parametrize("server", [{}, {"SERVER_SOFTWARE": "", "uwsgi.version": b"2.0"}])
def test_a_lame_wsgi_answer_says_close(server: dict[str, Any]) -> None:
    said: list[Any] = []
    lame(wsgi.LameDuck(plain))({**environ(), **server}, lambda *words: said.append(words))
    assert said[0][1] == [("Content-Length", "2"), ("Connection", "close")]


def test_the_status_document_and_its_metrics() -> None:
    duck = wsgi.LameDuck(plain, status_path="/duck")
    document = b"".join(duck(environ("/duck"), lambda *_: None))
    assert b'"phase": "ready", "in_flight": 0' in document
    assert b"lameduck_in_flight 0\n" in b"".join(duck(environ("/duck/metrics"), lambda *_: None))
    assert b"".join(duck(environ("/ducklings"), lambda *_: None)) == b"ok"


def test_fail_without_a_path_to_fail_is_refused() -> None:
    with pytest.raises(ValueError, match="needs readiness_path"):
        wsgi.LameDuck(plain, readiness="fail")


def test_a_grace_period_that_leaves_no_time_is_refused() -> None:
    with pytest.raises(ValueError, match="leaves no time"):
        wsgi.LameDuck(plain, grace=5)
    assert wsgi.LameDuck(plain, grace=30).layer.settings.rules.most == 19_000_000_000


def test_it_is_lame_while_somebody_in_the_pod_drains_and_says_what_is_in_hand(alone: str) -> None:
    duck = wsgi.LameDuck(plain, **QUICK)
    duck(environ(), lambda *_: None).close()  # type: ignore[attr-defined]
    assert duck.layer.state.phase == READY
    publisher = draining.Publisher(journal.pod_name(), "", time.monotonic_ns() + 10**10)
    try:
        time.sleep(0.11)  # it looks every 0.1 s
        said: list[Any] = []
        first = duck(environ(), lambda *words: said.append(words))
        publisher.poll()
        duck.layer._look(time.monotonic_ns() + draining.EVERY)
        assert duck.layer.state.phase == LAME_DUCK
        assert said[0][1][-1] == ("Connection", "close")
        assert publisher.poll() == 1
        first.close()  # type: ignore[attr-defined]
        assert publisher.poll() == 0
        publisher.release()
        time.sleep(0.11)
        duck(environ(), lambda *_: None).close()  # type: ignore[attr-defined]
        assert duck.layer.state.phase == READY
    finally:
        publisher.close()


def test_background_work_holds_the_stop_back_and_hooks_are_called() -> None:
    calls: list[str] = []
    duck = wsgi.LameDuck(
        plain, **QUICK, on_lame_duck=lambda: calls.append("lame"), on_drained=lambda: calls.append("drained")
    )
    passed: list[float] = []
    duck.layer.hold.pass_on = lambda: passed.append(time.monotonic())  # type: ignore[method-assign]
    duck.layer.hold.instead = lambda: None
    with duck.layer.working():
        duck.layer._stop_signal()
        end = time.monotonic() + 5
        while duck.layer.state.phase != DRAINING and time.monotonic() < end:
            time.sleep(0.01)
        assert calls == ["lame"]
        finished = time.monotonic()
    while not passed and time.monotonic() < end:
        time.sleep(0.01)
    assert passed[0] > finished
    assert duck.layer.state.phase == CLOSED
    assert calls == ["lame", "drained"]


def test_a_look_between_the_signal_and_the_decision_does_not_take_it_back() -> None:
    duck = wsgi.LameDuck(plain, **QUICK)
    duck.layer._stops.append(time.monotonic_ns())
    duck.layer.lame = True
    duck.layer._look(time.monotonic_ns())
    assert duck.layer.lame


@pytest.mark.parametrize(
    ("version", "signals", "said"), [("1.1", 1, True), ("2", 1, False), ("1.1", 2, False)], ids=str
)
def test_idle_connections_are_ended_before_the_servers_own_stop(monkeypatch, version, signals, said) -> None:
    calls: list[str] = []
    passed = threading.Event()
    monkeypatch.setattr(farewell, "say", lambda _busy: calls.append("farewell"))
    least = 0.4 if signals == 1 else 30  # a second signal comes in time however late
    duck = asgi.LameDuck(answering(), least=least, quiet=0.05, most=60, on_drained=lambda: calls.append("drained"))
    duck.layer.hold.previous = lambda *_: None  # a server with a stop of its own
    duck.layer.hold.pass_on = passed.set  # type: ignore[method-assign]
    ask(duck, scope(version=version))
    for _ in range(signals):
        duck.layer._stop_signal()
        time.sleep(0.15)  # sooner it is the same stop
    assert passed.wait(10)
    assert calls == (["farewell", "drained"] if said else ["drained"])
