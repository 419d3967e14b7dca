"""A kubeconfig as kubectl reads it: contexts, tokens, exec plugins, proxies; and what is wrong with one, in words."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml

from lameduck.core.errors import EnvironmentFault, LameduckError, UsageError
from lameduck.kube.api import Api, ApiError
from lameduck.kube.connect import Context, contexts, find_context


class Server:
    """Answers every request with `{}`, the first ``refused`` of them with 401; keeps what was asked."""

    def __init__(self, refused: int = 0) -> None:
        self.refused = refused
        self.asked: list[tuple[str, str]] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                line, *headers = head.split("\r\n")
                given = dict(each.split(": ", 1) for each in headers if each)
                auth = {name.lower(): value for name, value in given.items()}.get("authorization", "")
                self.asked.append((line.split(" ")[1], auth))
                status = "401 No" if len(self.asked) <= self.refused else "200 OK"
                writer.write(f"HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\n{{}}".encode())
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()


def config(box: Path, user: dict[str, Any], **cluster: Any) -> str:
    file = box / "kubeconfig"
    file.write_text(
        yaml.safe_dump(
            {
                "current-context": "kind-one",
                "contexts": [
                    {"name": name, "context": {"cluster": "c", "user": "u", "namespace": f"ns-{name}"}}
                    for name in ("kind-one", "production")
                ],
                "clusters": [{"name": "c", "cluster": cluster}],
                "users": [{"name": "u", "user": user}],
            }
        )
    )
    return str(file)


def plugin(box: Path, body: str) -> dict[str, Any]:
    script = box / "plugin"
    script.write_text(f"#!/bin/sh\n{body}\n")
    script.chmod(0o755)
    version = "client.authentication.k8s.io/v1"
    return {"exec": {"apiVersion": version, "command": str(script), "args": ["get-token"], "interactiveMode": "Never"}}


TOKEN = """
n=$(cat "$0.count" 2>/dev/null || echo 0); n=$((n + 1)); echo $n > "$0.count"
printf '{"kind": "ExecCredential", "status": {"token": "%s-%s"}}' "$1" "$n"
"""


def ask(box: Path, user: dict[str, Any], *, times: int = 1, refused: int = 0, **cluster: Any) -> Server:
    async def main() -> Server:
        served = Server(refused)
        server = await asyncio.start_server(served.serve, "127.0.0.1", 0)
        address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        told = {key: value if value != "HERE" else address for key, value in {"server": "HERE", **cluster}.items()}
        api = Api(find_context(config(box, user, **told)))
        try:
            for _ in range(times):
                await api.call("GET", "/version")
        finally:
            await api.close()
            server.close()
        return served

    return asyncio.run(main())


def test_a_token_is_sent(tmp_path: Path) -> None:
    assert ask(tmp_path, {"token": "t"}).asked == [("/version", "Bearer t")]


def test_a_credential_plugin_is_asked_once_and_again_when_its_token_is_refused(tmp_path: Path) -> None:
    served = ask(tmp_path, plugin(tmp_path, TOKEN), times=2)
    assert [auth for _, auth in served.asked] == ["Bearer get-token-1", "Bearer get-token-1"]
    (tmp_path / "again").mkdir()

    async def main() -> Server:
        served = Server()
        server = await asyncio.start_server(served.serve, "127.0.0.1", 0)
        address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        box = tmp_path / "again"
        api = Api(find_context(config(box, plugin(box, TOKEN), server=address)))
        await api.call("GET", "/version")
        served.refused = 2  # the second request's first try
        await api.call("GET", "/version")
        await api.close()
        server.close()
        return served

    assert [auth for _, auth in asyncio.run(main()).asked] == [f"Bearer get-token-{n}" for n in (1, 1, 2)]


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("echo 'log in first' >&2; exit 3", "plugin ended with 3: log in first"),
        ("echo '{}'", "gave no token"),
    ],
)
def test_a_plugin_that_fails_is_named_with_its_last_word(tmp_path: Path, body: str, told: str) -> None:
    with pytest.raises(EnvironmentFault, match=told):
        ask(tmp_path, plugin(tmp_path, body))


def test_a_plugin_that_is_not_installed_is_said_with_its_hint(tmp_path: Path) -> None:
    user = plugin(tmp_path, "")
    user["exec"] |= {"command": "/nowhere/aws", "installHint": "Install the AWS CLI."}
    with pytest.raises(EnvironmentFault, match=r"cannot run the credential plugin /nowhere/aws.*Install the AWS CLI"):
        ask(tmp_path, user)


def test_a_clusters_proxy_is_gone_through(tmp_path: Path) -> None:
    served = ask(tmp_path, {"token": "t"}, **{"server": "http://api.cluster.invalid:6443", "proxy-url": "HERE"})
    assert served.asked == [("http://api.cluster.invalid:6443/version", "Bearer t")]


def test_contexts_are_chosen_by_name_and_know_their_namespace(tmp_path: Path) -> None:
    file = config(tmp_path, {"token": "t"}, server="https://x", **{"tls-server-name": "api.internal"})
    one, other = find_context(file), find_context(file, "production", "shop")
    assert (one.name, one.namespace, one.local) == ("kind-one", "ns-kind-one", True)
    assert (other.name, other.namespace, other.local) == ("production", "shop", False)
    assert one.tls_server_name == "api.internal"
    assert contexts(file) == ["kind-one", "production"]


def no_such_context(box: Path) -> None:
    find_context(config(box, {}, server="https://x"), "staging")


def no_such_file(box: Path) -> None:
    find_context(str(box / "none"))


@pytest.mark.parametrize(
    ("does", "told"),
    [(no_such_context, "staging.*contexts there: kind-one, production"), (no_such_file, "none")],
)
def test_what_is_wrong_with_a_kubeconfig_is_said(tmp_path: Path, does: Callable[[Path], None], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        does(tmp_path)


def test_kubeconfigs_of_the_environment_come_in_their_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = config(tmp_path, {"token": "t"}, server="https://x")
    monkeypatch.setenv("KUBECONFIG", f"{tmp_path}/none:{file}")
    assert find_context().kubeconfig == file
    monkeypatch.setenv("KUBECONFIG", f"{tmp_path}/none")
    with pytest.raises(UsageError, match="names no file that exists"):
        find_context()


async def refused(api: Api) -> None:
    await api.call("GET", "/version")


async def not_there(api: Api) -> None:
    await api.get("pods", "ns")


@pytest.mark.parametrize("does", [refused, not_there])
def test_a_server_that_is_not_there_is_named_with_its_context(
    tmp_path: Path, does: Callable[[Api], Awaitable[None]]
) -> None:
    async def main() -> None:
        api = Api(find_context(config(tmp_path, {"token": "t"}, server="http://127.0.0.1:1")))
        try:
            await does(api)
        finally:
            await api.close()

    with pytest.raises(LameduckError, match=r"http://127.0.0.1:1 \(context kind-one\)"):
        asyncio.run(main())


def test_a_refusal_is_told_in_the_servers_own_words(tmp_path: Path) -> None:
    with pytest.raises(ApiError) as caught:
        ask(tmp_path, {"token": "t"}, refused=9)
    assert caught.value.status == 401
    assert json.dumps(str(caught.value))


def test_a_server_that_does_not_answer_in_time_is_told_so_though_its_error_has_no_words() -> None:
    api = Api.__new__(Api)
    api.context = Context("kind-test", "ns", "https://127.0.0.1:6443", None)  # type: ignore[arg-type]
    assert "ReadTimeout" in str(api._unreachable(httpx2.ReadTimeout("")))
