"""The lame-duck layer for WSGI servers: ``application = LameDuck(application)``, as the outermost middleware.

Works under gunicorn (sync, gthread, gevent, with and without --preload), waitress, cheroot, gevent's pywsgi, werkzeug
and granian; under others it gives readiness and `Connection: close`, and says on standard error if it cannot hold the
stop signal back.

Laws: an answer that starts after the stop signal says ``Connection: close`` (RFC 9112, 9.6); no idle connection is
closed before the end; a request is in hand until its body has been taken and closed (PEP 3333).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from lameduck_pod import status
from lameduck_pod.around import Around
from lameduck_pod.layer import Layer

Environ = dict[str, Any]
App = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]

TAKE_THE_HEADER = ("Werkzeug/", "gevent/", "Granian", "granian")
"""Servers (SERVER_SOFTWARE) that send an app's own Connection header, and keep to it."""


class LameDuck(Around[App]):
    """A WSGI application around another; what can be said is `Around`'s."""

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        """One request of the server."""
        layer = self.layer
        layer.enter()
        if environ.get("SERVER_PROTOCOL", "") > "HTTP/1.1":
            layer.multiplexed = True

        def start(answer_status: str, headers: list[tuple[str, str]], *exc_info: Any) -> Any:
            if layer.last_answer():
                headers = _last(layer, environ, start_response, headers)
            return start_response(answer_status, headers, *exc_info)

        try:
            path = environ.get("PATH_INFO", "")
            if layer.speaks and layer.answers(path):
                body: Iterable[bytes] = _answer(layer, environ, start)
            else:
                body = self.app(environ, start)
        except BaseException:
            layer.leave()
            raise
        return _counted(layer, environ, body)


def _last(layer: Layer, environ: Environ, start_response: Any, headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """The headers that make this answer the connection's last, in the words of the server at hand.

    PEP 3333 lets a server refuse an app's Connection header, and wsgiref does: unknown servers are not given one.

    gunicorn drops the app's own Connection header and has `force_close`; waitress refuses it and looks at what the
    client said; cheroot sends it and keeps the connection unless told (all three as their WSGI gateways are written).
    """
    server: Any = getattr(start_response, "__self__", None)
    if hasattr(server, "force_close"):
        server.force_close()
        return headers
    asked: Any = getattr(environ.get("waitress.client_disconnected"), "__self__", None)
    if getattr(asked, "requests", None):
        asked.requests[0].headers["CONNECTION"] = "close"
        return headers
    if hasattr(getattr(server, "req", None), "close_connection"):
        server.req.close_connection = True
        return headers
    software = str(environ.get("SERVER_SOFTWARE", ""))
    if not software.startswith(TAKE_THE_HEADER) and "uwsgi.version" not in environ:
        layer.say("not-said", f"answers cannot say `Connection: close` here: {software or 'this server'} is not known")
        return headers
    if environ.get("SERVER_PROTOCOL", "HTTP/1.1") not in ("HTTP/1.0", "HTTP/1.1"):
        return headers
    kept = [pair for pair in headers if pair[0].lower() not in ("connection", "keep-alive")]
    return [*kept, ("Connection", "close")]


def _answer(layer: Layer, environ: Environ, start: Callable[..., Any]) -> list[bytes]:
    code, content_type, body = status.answer(layer, environ.get("PATH_INFO", ""))
    words = {200: "OK", 404: "Not Found", 503: "Service Unavailable"}[code]
    start(f"{code} {words}", [("Content-Type", content_type), ("Content-Length", str(len(body)))])
    return [] if environ.get("REQUEST_METHOD") == "HEAD" else [body]


def _counted(layer: Layer, environ: Environ, body: Iterable[bytes]) -> Iterable[bytes]:
    """The same body; the request is in hand until the server closes it."""
    file = environ.get("wsgi.file_wrapper")
    if isinstance(file, type) and isinstance(body, file):  # the server sends it by itself: it must see what it is
        close = getattr(body, "close", None)
        try:
            body.close = _Body(layer, environ, (), close).close  # type: ignore[attr-defined]
        except AttributeError:
            layer.leave()
        return body
    kind = _SizedBody if hasattr(body, "__len__") else _Body
    return kind(layer, environ, body, getattr(body, "close", None))


class _Body:
    """A response body that says when it has been sent."""

    __slots__ = ("_body", "_close", "_environ", "_layer")

    def __init__(self, layer: Layer, environ: Environ, body: Iterable[bytes], close: Callable[[], Any] | None) -> None:
        self._layer: Layer | None = layer
        self._environ, self._body, self._close = environ, body, close

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._body)

    def close(self) -> None:
        """The server has done with it."""
        try:
            if self._close is not None:
                self._close()
        finally:
            layer, self._layer = self._layer, None
            if layer is not None:
                environ = self._environ
                path, agent = environ.get("PATH_INFO", ""), environ.get("HTTP_USER_AGENT", "")
                layer.leave(not layer.lame or layer.counts(path, agent))

    def __del__(self) -> None:
        if self._layer is not None:  # a server that forgot
            self.close()


class _SizedBody(_Body):
    """One of which servers may ask the length, to find the Content-Length by themselves."""

    __slots__ = ()

    def __len__(self) -> int:
        return len(self._body)  # type: ignore[arg-type]
