"""The few verbs of the Kubernetes API that a proof needs, over raw JSON.

Law: one call, one request; nothing is retried here but what has no effect. An answer that says no is an `ApiError`
with the API server's own reason and message; a server that cannot be reached is an `EnvironmentFault`.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import httpx2

from lameduck.core.errors import EnvironmentFault
from lameduck.kube.connect import Context, client

Json = dict[str, Any]
JSON = "application/json"
MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"

PATIENCE = 15.0

PATHS = {
    "pods": "/api/v1",
    "services": "/api/v1",
    "events": "/api/v1",
    "configmaps": "/api/v1",
    "persistentvolumeclaims": "/api/v1",
    "nodes": "/api/v1",
    "namespaces": "/api/v1",
    "endpointslices": "/apis/discovery.k8s.io/v1",
    "deployments": "/apis/apps/v1",
    "statefulsets": "/apis/apps/v1",
    "daemonsets": "/apis/apps/v1",
    "replicasets": "/apis/apps/v1",
    "poddisruptionbudgets": "/apis/policy/v1",
    "horizontalpodautoscalers": "/apis/autoscaling/v2",
    "ingresses": "/apis/networking.k8s.io/v1",
    "jobs": "/apis/batch/v1",
}
"""Each resource's group and version."""


class ApiError(EnvironmentFault):
    """The API server said no. ``status`` is the HTTP status, ``reason`` Kubernetes' word (NotFound, Forbidden …)."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(f"the API server says: {message}")
        self.status, self.reason, self.message = status, reason, message


class Unreachable(EnvironmentFault):
    """The API server does not answer."""


def path(resource: str, namespace: str = "", name: str = "", sub: str = "") -> str:
    """The URL's path of a resource, a namespaced one where a namespace is given."""
    parts = [PATHS[resource], *(["namespaces", namespace] if namespace else []), resource, name, sub]
    return "/".join(part for part in parts if part)


class Api:
    """One API server, spoken to as one user."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self._client = client(context)
        self._extensions = {"sni_hostname": context.tls_server_name} if context.tls_server_name else {}

    async def call(
        self,
        method: str,
        url: str,
        body: Any = None,
        *,
        content_type: str = JSON,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        patience: float = PATIENCE,
    ) -> Json:
        """One request, its answer's JSON, within ``patience`` seconds. Raises `ApiError` and `Unreachable`."""
        content = None if body is None else json.dumps(body).encode()
        try:
            answer = await self._client.request(
                method,
                url,
                content=content,
                params=params,
                headers={**({"Content-Type": content_type} if content else {}), **(headers or {})},
                timeout=patience,
                extensions=self._extensions,
            )
        except (httpx2.HTTPError, ssl.SSLError, OSError) as error:
            raise self._unreachable(error) from None
        if answer.is_error:
            raise _error(answer.status_code, answer.content)
        return dict(answer.json()) if answer.content else {}

    async def get(self, resource: str, namespace: str = "", name: str = "", **params: str) -> Json:
        """An object or a list."""
        return await self.call("GET", path(resource, namespace, name), params=params)

    async def patch(self, resource: str, namespace: str, name: str, body: Json, kind: str = MERGE) -> Json:
        """A patched object."""
        return await self.call("PATCH", path(resource, namespace, name), body, content_type=kind)

    @asynccontextmanager
    async def lines(self, url: str, params: Mapping[str, str], silence: float) -> AsyncIterator[AsyncIterator[str]]:
        """A watch's lines. ``silence`` is the longest wait for one, in seconds. Raises as `call` does."""
        patience = httpx2.Timeout(10.0, read=silence)
        try:
            async with self._client.stream(
                "GET", url, params=params, timeout=patience, extensions=self._extensions
            ) as answer:
                if answer.is_error:
                    raise _error(answer.status_code, await answer.aread())
                yield answer.aiter_lines()
        except (httpx2.HTTPError, ssl.SSLError, OSError) as error:
            raise self._unreachable(error) from None

    @asynccontextmanager
    async def upgraded(
        self, url: str, params: Sequence[tuple[str, str]], headers: Mapping[str, str]
    ) -> AsyncIterator[Callable[[], Awaitable[bytes]]]:
        """A connection that changes its protocol: reads what comes, b"" at its end. Raises as `call` does."""
        query = httpx2.QueryParams(list(params))
        try:
            async with self._client.stream(
                "GET", url, params=query, headers=dict(headers), extensions=self._extensions
            ) as answer:
                if answer.status_code != 101:
                    raise _error(answer.status_code, await answer.aread())
                stream = answer.extensions["network_stream"]

                async def read() -> bytes:
                    return bytes(await stream.read(65536, timeout=10.0))

                yield read
        except (httpx2.HTTPError, ssl.SSLError, OSError) as error:
            raise self._unreachable(error) from None

    async def text(self, url: str, params: Mapping[str, str] | None = None) -> str:
        """An answer that is no JSON: a log, a metric page. Raises as `call` does."""
        try:
            answer = await self._client.get(url, params=params, extensions=self._extensions)
        except (httpx2.HTTPError, ssl.SSLError, OSError) as error:
            raise self._unreachable(error) from None
        if answer.is_error:
            raise _error(answer.status_code, answer.content)
        return answer.text

    @asynccontextmanager
    async def pieces(self, url: str, headers: Mapping[str, str]) -> AsyncIterator[AsyncIterator[bytes]]:
        """An answer in pieces, as they come. Raises as `call` does."""
        try:
            async with self._client.stream("GET", url, headers=dict(headers), extensions=self._extensions) as answer:
                if answer.is_error:
                    raise _error(answer.status_code, await answer.aread())
                yield answer.aiter_bytes()
        except (httpx2.HTTPError, ssl.SSLError, OSError) as error:
            raise self._unreachable(error) from None

    async def close(self) -> None:
        """Close all connections."""
        await self._client.aclose()

    def _unreachable(self, error: Exception) -> Unreachable:
        where = f"{self.context.server} (context {self.context.name})"
        return Unreachable(f"cannot reach the API server {where}: {str(error) or type(error).__name__}")


def _error(status: int, content: bytes) -> ApiError:
    try:
        said = json.loads(content)
    except ValueError:
        said = {}
    if not isinstance(said, dict):
        said = {}
    text = said.get("message") or content.decode(errors="replace").strip()[:200] or f"HTTP {status}"
    return ApiError(status, str(said.get("reason") or ""), str(text))
