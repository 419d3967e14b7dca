"""From a kubeconfig (or a pod's service account) to an HTTP client for the API server.

Law: kubectl's own order: ``--kubeconfig``, ``$KUBECONFIG``, ``~/.kube/config``, then the service account of the pod we
run in. lightkube reads the files, the certificates and the tokens; what it leaves out is added here: ``proxy-url``,
``tls-server-name``, and exec credential plugins of ``client.authentication.k8s.io/v1``.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import yaml
from lightkube.config.client_adapter import AsyncClient, ConnectionParams, ExecAuth
from lightkube.config.kubeconfig import KubeConfig, SingleConfig
from lightkube.config.models import UserExec
from lightkube.core.exceptions import ConfigError

from lameduck.core.errors import EnvironmentFault, UsageError

EXEC_V1 = "client.authentication.k8s.io/v1"
TIMEOUT = httpx2.Timeout(15.0)


@dataclass(frozen=True, slots=True)
class Context:
    """Which cluster, as whom, in which namespace."""

    name: str
    namespace: str
    server: str
    config: SingleConfig
    proxy: str | None = None
    tls_server_name: str = ""
    kubeconfig: str = ""
    """The file that was read; "" in a pod."""

    @property
    def local(self) -> bool:
        """Whether its name is one that tools for clusters on a developer's machine give."""
        return self.name.startswith(("kind-", "k3d-")) or self.name in {"minikube", "docker-desktop", "rancher-desktop"}


def find_context(kubeconfig: str = "", context: str = "", namespace: str = "") -> Context:
    """The context to work in. Raises `UsageError` for one that is not there, `EnvironmentFault` without any config."""
    file = _file(kubeconfig)
    try:
        if file is None:
            config = KubeConfig.from_service_account()
            chosen = config.get()
        else:
            chosen = KubeConfig.from_file(file).get(context or None)
    except (ConfigError, KeyError, OSError, yaml.YAMLError) as error:
        if file is None:
            raise EnvironmentFault("no kubeconfig: set KUBECONFIG, say --kubeconfig FILE, or run in a pod") from None
        raise UsageError(f"{file}: {str(error).strip(chr(39))}; contexts there: {_contexts(file)}") from None
    assert chosen is not None
    raw = _cluster(file, chosen.context.cluster) if file else {}
    return Context(
        chosen.context_name,
        namespace or chosen.namespace,
        chosen.cluster.server,
        chosen,
        raw.get("proxy-url"),
        raw.get("tls-server-name") or "",
        str(file or ""),
    )


def contexts(kubeconfig: str = "") -> list[str]:
    """The names of a kubeconfig's contexts; none in a pod. Raises `UsageError`."""
    file = _file(kubeconfig)
    return [] if file is None else [str(each.get("name")) for each in _raw(file).get("contexts") or []]


def client(context: Context) -> httpx2.AsyncClient:
    """An HTTP client with the context's server, trust and credentials. Raises `EnvironmentFault`."""
    user = context.config.user
    try:
        made = AsyncClient(context.config, ConnectionParams(timeout=TIMEOUT, proxy=context.proxy))
    except (ConfigError, OSError, ValueError) as error:
        raise EnvironmentFault(f"context {context.name}: {error}") from None
    if user is not None and user.exec is not None and not user.token:
        made.auth = _Plugin(user.exec, context)
    return made


class _Plugin(ExecAuth):
    """An exec credential plugin, with its errors in words for people and the version 1 of its protocol."""

    def __init__(self, spec: UserExec, context: Context) -> None:
        super().__init__(spec)
        self.context, self.spec = context, spec
        self.lock = asyncio.Lock()

    async def async_auth_flow(self, request: httpx2.Request) -> AsyncGenerator[httpx2.Request, httpx2.Response]:
        if self._last_bearer:
            request.headers["Authorization"] = self._last_bearer
            response = yield request
            if response.status_code != 401:
                return
        request.headers["Authorization"] = self._last_bearer = f"Bearer {await self._token()}"
        yield request

    async def _token(self) -> str:
        spec = self.spec
        info = {
            "apiVersion": spec.apiVersion,
            "kind": "ExecCredential",
            "spec": {"cluster": {"server": self.context.server}, "interactive": False},
        }
        environment = {**os.environ, "KUBERNETES_EXEC_INFO": json.dumps(info)}
        environment.update((each.name, each.value) for each in spec.env or [])
        try:
            async with self.lock:
                process = await asyncio.create_subprocess_exec(
                    spec.command,
                    *(spec.args or []),
                    env=environment,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=asyncio.subprocess.PIPE,
                    stderr=asyncio.subprocess.PIPE,
                )
                said, complaint = await process.communicate()
        except OSError as error:
            hint = f" {spec.installHint.strip()}" if spec.installHint else ""
            raise EnvironmentFault(
                f"cannot run the credential plugin {spec.command}: {error.strerror}.{hint}"
            ) from None
        if process.returncode:
            last = complaint.decode(errors="replace").strip().splitlines()[-1:] or ["it said nothing"]
            raise EnvironmentFault(f"the credential plugin {spec.command} ended with {process.returncode}: {last[0]}")
        try:
            return str(json.loads(said)["status"]["token"])
        except (ValueError, KeyError, TypeError):
            raise EnvironmentFault(f"the credential plugin {spec.command} gave no token") from None


def _file(kubeconfig: str) -> Path | None:
    if kubeconfig:
        return Path(kubeconfig).expanduser()
    for each in os.environ.get("KUBECONFIG", "").split(os.pathsep):
        if each and Path(each).is_file():
            return Path(each)
    if os.environ.get("KUBECONFIG"):
        raise UsageError(f"KUBECONFIG names no file that exists: {os.environ['KUBECONFIG']}")
    home = Path("~/.kube/config").expanduser()
    return home if home.is_file() else None


def _raw(file: Path) -> Any:
    try:
        return yaml.safe_load(file.read_text(encoding="utf-8")) or {}
    except (OSError, yaml.YAMLError):
        return {}


def _cluster(file: Path, name: str) -> dict[str, Any]:
    return next((each["cluster"] for each in _raw(file).get("clusters", []) if each.get("name") == name), {})


def _contexts(file: Path) -> str:
    return ", ".join(contexts(str(file))) or "none"
