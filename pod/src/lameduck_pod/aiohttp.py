"""The lame-duck layer for aiohttp: ``install(app)`` before ``web.run_app(app)``.

Law: as `asgi`'s; WebSockets are closed with 1001 (RFC 6455, 7.4.1), spread over `least`.
"""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import web

from lameduck_pod import settings, status
from lameduck_pod.layer import Layer

GOING_AWAY = 1001


def install(app: web.Application, layer: Layer | None = None, **said: Any) -> Layer:
    """Put the layer around an application; `said` as in `lameduck_pod.settings.read`. Raises ValueError."""
    layer = layer or Layer(settings.read(**said))
    lame = layer

    @web.middleware  # type: ignore[untyped-decorator, unused-ignore]
    async def counted(request: web.Request, handler: Any) -> web.StreamResponse:
        lame.enter()
        try:
            if lame.answers(request.path):
                code, content_type, body = status.answer(lame, request.path)
                return web.Response(status=code, body=body, headers={"Content-Type": content_type})
            answer: web.StreamResponse = await handler(request)
            return answer
        finally:
            lame.leave(not lame.lame or lame.counts(request.path, request.headers.get("User-Agent", "")))

    async def last(_request: web.Request, response: web.StreamResponse) -> None:
        if isinstance(response, web.WebSocketResponse):
            _close_when_lame(lame, response)
        elif lame.lame:
            response.force_close()
            response.headers["Connection"] = "close"  # aiohttp has decided on it before it asks us

    async def serving(_app: web.Application) -> None:
        lame.serving()

    app.middlewares.insert(0, counted)
    app.on_response_prepare.append(last)
    app.on_startup.append(serving)
    return layer


def _close_when_lame(layer: Layer, socket: web.WebSocketResponse) -> None:
    loop = asyncio.get_running_loop()

    async def close() -> None:
        if socket.prepared:
            await socket.close(code=GOING_AWAY, message=b"the server stops")

    number = layer.watch(lambda: asyncio.run_coroutine_threadsafe(close(), loop))
    task = asyncio.current_task()
    if task is not None:
        task.add_done_callback(lambda _: layer.unwatch(number))
