"""The lame-duck layer for Sanic: ``install(app)``.

Law: as `asgi`'s. It can hold the stop signal with ``single_process=True`` only: below Sanic's worker manager it says so
at the start, and `lameduck-pod run --delay` must hold it.
"""

from __future__ import annotations

from typing import Any

from sanic import Request, Sanic
from sanic.response import BaseHTTPResponse, HTTPResponse

from lameduck_pod import settings, status
from lameduck_pod.layer import Layer


def install(app: Sanic[Any, Any], layer: Layer | None = None, **said: Any) -> Layer:
    """Put the layer around an application; `said` as in `lameduck_pod.settings.read`. Raises ValueError."""
    layer = layer or Layer(settings.read(**said))
    lame = layer

    async def come(request: Request) -> HTTPResponse | None:
        if not hasattr(request.ctx, "lameduck"):
            request.ctx.lameduck = True
            lame.enter()
        if lame.answers(request.path):
            code, content_type, body = status.answer(lame, request.path)
            return HTTPResponse(body, code, content_type=content_type)
        return None

    async def go(request: Request, _response: BaseHTTPResponse) -> None:
        if lame.last_answer() and request.stream is not None:
            request.stream.keep_alive = False
        if getattr(request.ctx, "lameduck", False):
            request.ctx.lameduck = False
            lame.leave(not lame.lame or lame.counts(request.path, request.headers.get("user-agent", "")))

    async def serving(_app: Sanic[Any, Any]) -> None:
        lame.serving()

    app.register_middleware(come, "request", priority=999)
    app.register_middleware(go, "response", priority=-999)
    app.register_listener(serving, "after_server_start")
    return layer
