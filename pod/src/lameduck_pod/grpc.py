"""The lame-duck layer for grpcio servers, sync and aio.

    layer = lame_duck()
    server = grpc.server(pool, interceptors=[interceptor(layer)])   # aio: grpc.aio.server, aio_interceptor
    add_health(server, layer)                                       # aio: add_aio_health
    server.start(); hold(server, layer); server.wait_for_termination() # aio: await aio_hold

Law: on the stop signal the health service says NOT_SERVING and every RPC is served; when nothing has been in hand for
`quiet`, and not before `least`, ``server.stop(grace)`` runs. gRPC has no ``Connection: close``: clients leave at
``grpc.max_connection_age_ms``, so let the server have one (measured: without it an RPC is lost now and then). The
health service is written in the protocol's own bytes (grpc.health.v1: string service = 1; ServingStatus status = 1),
since grpcio has none without more packages.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import grpc

from lameduck_pod import settings
from lameduck_pod.layer import Layer
from lameduck_pod.spans import SECOND

SERVING, NOT_SERVING = b"\x08\x01", b"\x08\x02"
HEALTH = "grpc.health.v1.Health"
LOOK = 0.1
RPC_KINDS = {
    (False, False): "unary_unary",
    (False, True): "unary_stream",
    (True, False): "stream_unary",
    (True, True): "stream_stream",
}


def lame_duck(**said: Any) -> Layer:
    """The layer; `said` as in `lameduck_pod.settings.read`. Make it in the main thread. Raises ValueError."""
    return Layer(settings.read(**said))


class _Interceptor(grpc.ServerInterceptor):  # type: ignore[misc]
    def __init__(self, layer: Layer) -> None:
        self.layer = layer

    def intercept_service(self, continuation: Any, details: Any) -> Any:
        handler = continuation(details)
        if handler is None or details.method.startswith(f"/{HEALTH}/"):
            return handler
        return _rebuilt(handler, _counted_stream if handler.response_streaming else _counted, self.layer)


def interceptor(layer: Layer) -> Any:
    """For `grpc.server`: counts what is in hand."""
    return _Interceptor(layer)


def aio_interceptor(layer: Layer) -> Any:
    """For `grpc.aio.server`: counts what is in hand."""

    class Interceptor(grpc.aio.ServerInterceptor):  # type: ignore[misc]
        async def intercept_service(self, continuation: Any, details: Any) -> Any:
            handler = await continuation(details)
            if handler is None or details.method.startswith(f"/{HEALTH}/"):
                return handler
            return _rebuilt(handler, _aio_counted_stream if handler.response_streaming else _aio_counted, layer)

    return Interceptor()


def _rebuilt(handler: Any, counted: Any, layer: Layer) -> Any:
    kind = RPC_KINDS[handler.request_streaming, handler.response_streaming]
    make = getattr(grpc, kind + "_rpc_method_handler")
    return make(counted(getattr(handler, kind), layer), handler.request_deserializer, handler.response_serializer)


def _counted(behaviour: Any, layer: Layer) -> Any:
    def serve(request: Any, context: Any) -> Any:
        with layer.working():
            return behaviour(request, context)

    return serve


def _counted_stream(behaviour: Any, layer: Layer) -> Any:
    def serve(request: Any, context: Any) -> Iterator[Any]:
        with layer.working():
            yield from behaviour(request, context)

    return serve


def _aio_counted(behaviour: Any, layer: Layer) -> Any:
    async def serve(request: Any, context: Any) -> Any:
        with layer.working():
            return await behaviour(request, context)

    return serve


def _aio_counted_stream(behaviour: Any, layer: Layer) -> Any:
    async def serve(request: Any, context: Any) -> AsyncIterator[Any]:
        with layer.working():
            async for message in behaviour(request, context):
                yield message

    return serve


def add_health(server: Any, layer: Layer) -> None:
    """Serve grpc.health.v1.Health on a sync server: Check and Watch."""

    def check(_request: bytes, _context: Any) -> bytes:
        return NOT_SERVING if layer.lame else SERVING

    def watch(_request: bytes, context: Any) -> Iterator[bytes]:
        said = b""
        while context.is_active():
            now = check(_request, context)
            if now != said:
                said = now
                yield now
            threading.Event().wait(LOOK)

    _add(server, check, watch)


def add_aio_health(server: Any, layer: Layer) -> None:
    """Serve grpc.health.v1.Health on an aio server: Check and Watch."""

    async def check(_request: bytes, _context: Any) -> bytes:
        return NOT_SERVING if layer.lame else SERVING

    async def watch(_request: bytes, _context: Any) -> AsyncIterator[bytes]:
        said = b""
        while True:
            now = NOT_SERVING if layer.lame else SERVING
            if now != said:
                said = now
                yield now
            await asyncio.sleep(LOOK)

    _add(server, check, watch)


def _add(server: Any, check: Any, watch: Any) -> None:
    handlers = {
        "Check": grpc.unary_unary_rpc_method_handler(check),
        "Watch": grpc.unary_stream_rpc_method_handler(watch),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(HEALTH, handlers),))


def hold(server: Any, layer: Layer) -> None:
    """Have the layer stop a sync server at the right time. The process ends by itself after wait_for_termination."""
    layer.hold.instead = lambda: server.stop(layer.settings.rules.tail / SECOND)
    layer.serving()


async def aio_hold(server: Any, layer: Layer) -> None:
    """The same for an aio server."""
    loop = asyncio.get_running_loop()
    grace = layer.settings.rules.tail / SECOND
    layer.hold.instead = lambda: asyncio.run_coroutine_threadsafe(server.stop(grace), loop).result()
    layer.serving()
