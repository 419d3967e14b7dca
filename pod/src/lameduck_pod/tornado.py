"""The lame-duck layer for Tornado: ``install(application)``, in the main thread, where the loop runs.

Law: as `asgi`'s. Tornado has no stop of its own: when nothing is in hand the process ends by SystemExit, with code 0.
"""

from __future__ import annotations

from typing import Any

from tornado.httputil import HTTPHeaders, HTTPServerRequest
from tornado.web import Application, OutputTransform

from lameduck_pod import settings
from lameduck_pod.layer import Layer


def install(application: Application, layer: Layer | None = None, **said: Any) -> Layer:
    """Put the layer around an application; `said` as in `lameduck_pod.settings.read`. Raises ValueError."""
    layer = layer or Layer(settings.read(**said))
    lame = layer

    class Counted(OutputTransform):  # type: ignore[misc, unused-ignore]
        """One request, from its handler's making to its last byte."""

        def __init__(self, request: HTTPServerRequest) -> None:
            self.request = request
            self.inside = "Upgrade" not in request.headers
            if self.inside:
                lame.enter()

        def transform_first_chunk(
            self, status_code: int, headers: HTTPHeaders, chunk: bytes, finishing: bool
        ) -> tuple[int, HTTPHeaders, bytes]:
            if lame.lame and status_code != 101:
                headers["Connection"] = "close"
            if lame.not_ready(self.request.path):
                status_code = 503
            self._leave(finishing)
            return status_code, headers, chunk

        def transform_chunk(self, chunk: bytes, finishing: bool) -> bytes:
            self._leave(finishing)
            return chunk

        def _leave(self, finishing: bool) -> None:
            if finishing and self.inside:
                self.inside = False
                agent = self.request.headers.get("User-Agent", "")
                lame.leave(not lame.lame or lame.counts(self.request.path, agent))

        def __del__(self) -> None:  # its client went away before the end
            self._leave(True)

    application.add_transform(Counted)
    layer.serving()
    return layer
