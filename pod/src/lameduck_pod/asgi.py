"""The lame-duck layer for ASGI servers: ``app = LameDuck(app)``, as the outermost middleware.

Works under uvicorn (one or many workers), hypercorn (``-w 0``), granian, daphne and gunicorn's uvicorn worker; under
others it gives readiness and `Connection: close`, and says on standard error if it cannot hold the stop signal back.

Laws: an answer that starts after the stop signal says ``Connection: close`` on HTTP/1 (RFC 9112, 9.6) and nothing on
HTTP/2, where that header is forbidden (RFC 9113, 8.2.2; `goaway` is what hypercorn's clients get); no idle connection
is closed before the end; WebSockets are closed with 1001 (RFC 6455, 7.4.1) and event streams ended between two events,
spread over `least`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from lameduck_pod import status
from lameduck_pod.around import Around
from lameduck_pod.goaway import GoAway
from lameduck_pod.layer import Layer
from lameduck_pod.streams import Going, going

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

GOING_AWAY = 1001


class LameDuck(Around[App]):
    """An ASGI application around another; what can be said is `Around`'s."""

    _goaway: GoAway | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One connection scope of the server."""
        kind = scope["type"]
        if kind == "http":
            await self._http(scope, receive, send)
        elif kind == "websocket":
            await self._websocket(scope, receive, send)
        elif kind == "lifespan":
            await self._lifespan(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        layer = self.layer
        layer.enter()
        if scope["http_version"] >= "2":
            self._multiplexed(send)
        stream: _EventStream | None = None
        whole = False

        async def hear() -> Message:
            nonlocal whole
            if stream is not None and whole:
                return await stream.hear(receive)
            message = await receive()
            whole = not message.get("more_body")
            return message

        def say(message: Message) -> Awaitable[None]:  # not a coroutine of its own: that would cost 0.5 µs a message
            nonlocal stream
            if stream is not None:
                return stream.say(message)
            if message["type"] == "http.response.start":
                if layer.last_answer():
                    _last(message, scope)
                if _is_event_stream(message):
                    stream = _EventStream(layer, send)
            return send(message)

        try:
            path = scope["path"]
            if layer.speaks and layer.answers(path):
                await _answer(layer, scope, send)
            else:
                await self.app(scope, hear, say)
        finally:
            if stream is not None:
                await stream.end()
            layer.leave(not layer.lame or layer.counts(scope["path"], _agent(scope)))

    def _multiplexed(self, send: Send) -> None:
        self.layer.multiplexed = True
        if self._goaway is None:
            self._goaway = GoAway(self.layer)
        self._goaway.seen(send)

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        layer, socket = self.layer, _WebSocket(send)
        layer.enter()
        going = socket.going
        number = layer.watch(going.tell)
        try:
            await self.app(scope, lambda: socket.hear(receive), socket.say)
        finally:
            layer.unwatch(number)
            layer.leave()

    async def _lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def say(message: Message) -> None:
            await send(message)
            if message["type"] == "lifespan.startup.complete":
                self.layer.serving()

        await self.app(scope, receive, say)


def _last(message: Message, scope: Scope) -> None:
    if scope.get("http_version", "1.1")[:1] != "1":
        return
    kept = [pair for pair in message.get("headers", ()) if bytes(pair[0]).lower() not in (b"connection", b"keep-alive")]
    message["headers"] = [*kept, (b"connection", b"close")]


def _is_event_stream(message: Message) -> bool:
    for name, value in message.get("headers", ()):
        if name == b"content-type" and value.startswith(b"text/event-stream"):
            return True
    return False


def _agent(scope: Scope) -> str:
    return next((bytes(value).decode("latin-1") for name, value in scope["headers"] if name == b"user-agent"), "")


async def _answer(layer: Layer, scope: Scope, send: Send) -> None:
    code, content_type, body = status.answer(layer, scope["path"])
    headers = [(b"content-type", content_type.encode()), (b"content-length", b"%d" % len(body))]
    start: Message = {"type": "http.response.start", "status": code, "headers": headers}
    if layer.lame:
        _last(start, scope)
    await send(start)
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})


class _EventStream:
    """A Server-Sent Events answer, which can be ended after any event: its client comes back by itself."""

    def __init__(self, layer: Layer, send: Send) -> None:
        self.layer, self.send = layer, send
        self.going = going()
        self.number = layer.watch(self.going.tell)
        self.ended = False
        self.between = True

    async def hear(self, receive: Receive) -> Message:
        """What the client says, or that it is gone."""
        message = await self.going.first(receive)
        return message if message is not None else {"type": "http.disconnect"}

    async def say(self, message: Message) -> None:
        """The next events. Raises OSError once the stream has been ended, as ASGI servers do."""
        if self.ended:
            raise OSError("the event stream was ended: this server stops")
        body = message.get("body", b"")
        self.between = bytes(body[-2:]) in (b"\n\n", b"\r\r") or body.endswith(b"\r\n\r\n") if body else self.between
        self.ended = not message.get("more_body")
        await self.send(message)
        if self.going.now and self.between:
            await self.end()

    async def end(self) -> None:
        """Say when to come back, and end it; nothing if it has ended or the layer did not ask."""
        self.layer.unwatch(self.number)
        if self.ended or not self.going.now:
            return
        self.ended = True
        last = b"retry: %d\n\n" % self.layer.settings.retry if self.between else b""
        await self.send({"type": "http.response.body", "body": last, "more_body": False})


class _WebSocket:
    """A WebSocket that is closed with 1001 when the layer says so."""

    def __init__(self, send: Send) -> None:
        self.send = send
        self.open = self.closed = False
        self.going: Going = going(self._go)

    async def hear(self, receive: Receive) -> Message:
        """What the client says, or that it is gone."""
        message = await self.going.first(receive) if self.open else await receive()
        if message is None:
            await self._go()
            return {"type": "websocket.disconnect", "code": GOING_AWAY, "reason": ""}
        return message

    async def say(self, message: Message) -> None:
        """What the app says, until the socket is closed."""
        if self.closed:
            return
        self.closed = message["type"] == "websocket.close"
        await self.send(message)
        self.open = self.open or message["type"] == "websocket.accept"
        if self.going.now:
            await self._go()

    async def _go(self) -> None:
        if self.open and not self.closed:
            await self.say({"type": "websocket.close", "code": GOING_AWAY, "reason": "the server stops"})
