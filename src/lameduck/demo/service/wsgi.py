"""The service as a WSGI application: paths and methods of the Open Inference Protocol v2, JSON in and out.

Law: every answer is JSON and says in ``x-served-by`` which pod gave it; a client's mistake is a 4xx with one sentence
in ``error``; a 200 from ``/v2/health/ready`` means that the model is loaded and has made a prediction.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any, Final, TypeAlias

from lameduck import __version__
from lameduck.demo.service import model as models
from lameduck.demo.service.protocol import MAX_BODY, BadRequestError, answer, parse

Environ: TypeAlias = dict[str, Any]
StartResponse: TypeAlias = Callable[[str, list[tuple[str, str]]], Any]
Reply: TypeAlias = tuple[HTTPStatus, dict[str, Any]]

MODEL: Final = models.load(float(os.environ.get("BATCH_ROWS_PER_SECOND", "128")))
SERVED_BY: Final = os.environ.get("POD_NAME") or os.environ.get("HOSTNAME") or os.uname().nodename


def application(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """One request in, one JSON document out."""
    status, document = _reply(environ)
    body = json.dumps(document, separators=(",", ":")).encode()
    headers = [
        ("Content-Type", "application/json"),
        ("Content-Length", str(len(body))),
        ("x-served-by", SERVED_BY),
    ]
    if status is HTTPStatus.METHOD_NOT_ALLOWED:
        headers.append(("Allow", _method(environ["PATH_INFO"])))
    start_response(f"{status.value} {status.phrase}", headers)
    return [body]


def _reply(environ: Environ) -> Reply:
    path = environ["PATH_INFO"]
    route = _ROUTES.get(path)
    if route is None:
        return HTTPStatus.NOT_FOUND, {"error": f"there is no {path[:100]} here; the model is {_BASE}"}
    if environ["REQUEST_METHOD"] not in {_method(path), "HEAD" if _method(path) == "GET" else ""}:
        return HTTPStatus.METHOD_NOT_ALLOWED, {"error": f"{path} takes {_method(path)}"}
    try:
        return route(environ)
    except BadRequestError as error:
        return HTTPStatus.BAD_REQUEST, {"error": str(error)}


def _infer(environ: Environ) -> Reply:
    body = environ["wsgi.input"].read(MAX_BODY + 1)
    if len(body) > MAX_BODY:
        return HTTPStatus.REQUEST_ENTITY_TOO_LARGE, {"error": f"the body is larger than {MAX_BODY} bytes"}
    request = parse(body, MODEL.input, [spec.name for spec in MODEL.outputs])
    results = MODEL.predict(request.rows)
    return HTTPStatus.OK, answer(models.NAME, models.VERSION, request, results, MODEL.outputs)


def _fixed(**document: Any) -> Callable[[Environ], Reply]:
    return lambda _environ: (HTTPStatus.OK, document)


def _method(path: str) -> str:
    return "POST" if path.endswith("/infer") else "GET"


_BASE: Final = f"/v2/models/{models.NAME}"
_METADATA: Final = {
    "name": models.NAME,
    "versions": [models.VERSION],
    "platform": "onnx_onnxv1",
    "inputs": [MODEL.input.metadata()],
    "outputs": [spec.metadata() for spec in MODEL.outputs],
}
_OF_MODEL: Final[dict[str, Callable[[Environ], Reply]]] = {
    "": _fixed(**_METADATA),
    "/ready": _fixed(name=models.NAME, ready=True),
    "/infer": _infer,
}
_ROUTES: Final[dict[str, Callable[[Environ], Reply]]] = {
    "/v2": _fixed(name="lameduck-demo", version=__version__, extensions=[]),
    "/v2/health/live": _fixed(live=True),
    "/v2/health/ready": _fixed(ready=True),
    **{_BASE + path: route for path, route in _OF_MODEL.items()},
    **{f"{_BASE}/versions/{models.VERSION}{path}": route for path, route in _OF_MODEL.items()},
}
