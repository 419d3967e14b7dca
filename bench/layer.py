"""What the lame-duck layer costs a request: an application that does nothing, with it and without.

Run: .venv/bin/python bench/layer.py
Law: at most 3 µs a request, by the best of many rounds, so that noise does not count.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable

from lameduck_pod import asgi, wsgi

ROUNDS, REQUESTS = 400, 200  # a round is shorter than a time slice: noise from other processes does not count
LIMIT_US = 3.0
START = {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]}
BODY = {"type": "http.response.body", "body": b"ok"}
SCOPE = {"type": "http", "path": "/", "headers": [], "http_version": "1.1", "method": "GET"}


async def asgi_app(scope, receive, send):
    await send(dict(START))
    await send(BODY)


def wsgi_app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"ok"]


def best(one_round: Callable[[], None]) -> float:
    times = []
    for _ in range(ROUNDS):
        began = time.perf_counter_ns()
        one_round()
        times.append(time.perf_counter_ns() - began)
    return min(times) / REQUESTS / 1000


def ask_asgi(app) -> Callable[[], None]:
    async def nothing(*_):
        return None

    async def many():
        for _ in range(REQUESTS):
            await app(SCOPE, nothing, nothing)

    return lambda: asyncio.run(many())


def ask_wsgi(app) -> Callable[[], None]:
    environ = {"PATH_INFO": "/", "REQUEST_METHOD": "GET"}

    def many():
        for _ in range(REQUESTS):
            body = app(environ, lambda *_: None)
            for _part in body:
                pass
            if hasattr(body, "close"):
                body.close()

    return many


def main() -> int:
    worst = 0.0
    for name, ask, app, layer in (
        ("ASGI", ask_asgi, asgi_app, asgi.LameDuck(asgi_app)),
        ("WSGI", ask_wsgi, wsgi_app, wsgi.LameDuck(wsgi_app)),
    ):
        without, with_layer = best(ask(app)), best(ask(layer))
        worst = max(worst, with_layer - without)
        print(
            f"{name}: {without:.2f} µs without, {with_layer:.2f} µs with: the layer costs {with_layer - without:.2f} µs"
        )
    print(f"limit {LIMIT_US} µs: {'held' if worst <= LIMIT_US else 'BROKEN'}")
    return worst > LIMIT_US


if __name__ == "__main__":
    sys.exit(main())
