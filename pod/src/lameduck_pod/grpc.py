"""The lame-duck layer for grpcio servers, sync and aio.

    layer = lame_duck()
    server = grpc.server(pool, interceptors=[interceptor(layer)], options=options(layer))
    add_health(server, layer)
    server.start(); hold(server, layer); server.wait_for_termination()

    # aio: grpc.aio.server, aio_interceptor, add_aio_health, await aio_hold

Law: on the stop signal the health service says NOT_SERVING and every RPC is served; when nothing has been in hand for
`quiet`, and not before `least`, ``server.stop(grace)`` runs, and with it the Watch streams end, which would hold it up.
gRPC has no ``Connection: close``: clients leave at ``grpc.max_connection_age_ms``, which `options` sets. A connection
that is still used when the stop runs can lose an RPC: whatever reaches the server between its stop and the client's
reading of the GOAWAY is cancelled by grpcio itself, as CANCELLED, which no client sends again unseen.
The health service is written in the protocol's own bytes (grpc.health.v1: string service = 1; ServingStatus
status = 1), since grpcio has none without more packages.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import grpc

from lameduck_pod import settings
from lameduck_pod.gate import CLOSED
from lameduck_pod.layer import Layer
from lameduck_pod.spans import SECOND

SERVING, NOT_SERVING = b"\x08\x01", b"\x08\x02"
HEALTH = "grpc.health.v1.Health"
LOOK = 0.1
"""Seconds between two looks at what the health service has to say."""
AGE = 10 * SECOND
"""How old a connection gets, if `most` leaves so much; ns."""
RPC_KINDS = {
    (False, False): "unary_unary",
    (False, True): "unary_stream",
    (True, False): "stream_unary",
    (True, True): "stream_stream",
}


def lame_duck(**said: Any) -> Layer:
    """The layer; `said` as in `lameduck_pod.settings.read`. Make it in the main thread. Raises ValueError."""
    return Layer(settings.read(**said))


def options(layer: Layer) -> list[tuple[str, int]]:
    """For the server's `options`: every connection ends by GOAWAY well before `most`, so that none is used at the stop.

    gRPC spreads the age by a tenth; RPCs on an old connection are finished.
    """
    return [("grpc.max_connection_age_ms", min(AGE, layer.settings.rules.most // 2) * 1000 // SECOND)]


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


def _status(layer: Layer) -> bytes:
    return NOT_SERVING if layer.lame else SERVING


def _over(layer: Layer) -> bool:
    return layer.state.phase == CLOSED


def add_health(server: Any, layer: Layer) -> None:
    """Serve grpc.health.v1.Health on a sync server: Check and Watch."""
    watchers = _Watchers(layer)

    def check(_request: bytes, _context: Any) -> bytes:
        return _status(layer)

    def watch(_request: bytes, context: Any, send_response_callback: Any = None) -> Iterator[bytes] | None:
        if send_response_callback is None:  # an interceptor of the user's has wrapped it
            return _statuses(layer, context)
        watchers.add(context, send_response_callback)
        return None

    vars(watch)["experimental_non_blocking"] = True
    _add(server, check, watch)


def _statuses(layer: Layer, context: Any) -> Iterator[bytes]:
    said = b""
    while context.is_active():
        over, now = _over(layer), _status(layer)
        if now != said:
            said = now
            yield now
        if over:
            return
        time.sleep(LOOK)


class _Watchers:
    """The Watch streams of a sync server, told by one thread, which lives as long as there are any.

    As iterators each would take a thread of the server's pool, and as many as it has would keep it from serving.
    """

    def __init__(self, layer: Layer) -> None:
        self.layer = layer
        self.lock = threading.Lock()
        self.streams: list[_Stream] = []

    def add(self, context: Any, send: Callable[[bytes | None], object]) -> None:
        """Tell it, now and whenever there is news."""
        stream = _Stream(context, send)
        stream.tell(_status(self.layer))
        with self.lock:
            self.streams.append(stream)
            if len(self.streams) == 1:
                threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while True:
            time.sleep(LOOK)
            over, now = _over(self.layer), _status(self.layer)
            with self.lock:
                self.streams = [stream for stream in self.streams if stream.context.is_active()]
                streams = list(self.streams)
                if not streams:
                    return
            for stream in streams:
                stream.tell(now)
                if over:
                    stream.send(None)


class _Stream:
    def __init__(self, context: Any, send: Callable[[bytes | None], object]) -> None:
        self.context, self.send = context, send
        self.said = b""

    def tell(self, status: bytes) -> None:
        if status != self.said:
            self.said = status
            self.send(status)


def add_aio_health(server: Any, layer: Layer) -> None:
    """Serve grpc.health.v1.Health on an aio server: Check and Watch."""

    async def check(_request: bytes, _context: Any) -> bytes:
        return _status(layer)

    async def watch(_request: bytes, _context: Any) -> AsyncIterator[bytes]:
        said, over = b"", False
        while not over:
            over, now = _over(layer), _status(layer)
            if now != said:
                said = now
                yield now
            if not over:
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
