"""An API server in miniature over a real socket: one resource, lists and watches, and the ways in which they break."""

from __future__ import annotations

import asyncio
import json
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit


def pod(name: str, version: int, **more: Any) -> dict[str, Any]:
    meta = {"name": name, "namespace": "ns", "uid": more.pop("uid", f"uid-{name}"), "resourceVersion": str(version)}
    return {"kind": "Pod", "metadata": meta, "spec": {"nodeName": "node-1"}, "status": {}, **more}


def chunk(line: str) -> bytes:
    data = line.encode() + b"\n"
    return b"%x\r\n%s\r\n" % (len(data), data)


class FakeApi:
    """Serves `objects` and every event of `put`; `drop` cuts all watches, `forget` answers 410 to what is older."""

    def __init__(self) -> None:
        self.objects: dict[str, dict[str, Any]] = {}
        self.version = 1
        self.history: list[tuple[int, str]] = []
        self.oldest = 0
        self.lists = 0
        self.asked: list[dict[str, str]] = []
        self.refusal = 0
        self.pages: dict[str, dict[str, Any]] = {}
        """Answers by path, in place of the one resource; what is not there is forbidden."""
        self.watching = asyncio.Event()
        self._open: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self.stop_listening()

    def stop_listening(self) -> None:
        self._server.close()
        self.drop()

    async def listen_again(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    def put(self, kind: str, name: str, **more: Any) -> None:
        self.version += 1
        each = pod(name, self.version, **more)
        if kind == "DELETED":
            self.objects.pop(name, None)
        else:
            self.objects[name] = each
        line = json.dumps({"type": kind, "object": each})
        self.history.append((self.version, line))
        self.say(line)

    def say(self, line: str) -> None:
        for writer in self._open:
            writer.write(chunk(line))

    def bookmark(self, version: int) -> None:
        self.version = version
        self.say(json.dumps({"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": str(version)}}}))

    def drop(self) -> None:
        for writer in self._open:
            writer.transport.abort()
        self._open.clear()
        self.watching.clear()

    def forget(self) -> None:
        self.oldest = self.version

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                if self.pages:
                    self._page(writer, urlsplit(head.split(" ")[1]).path)
                    continue
                query = {k: v[0] for k, v in parse_qs(urlsplit(head.split(" ")[1]).query).items()}
                self.asked.append(query)
                if "watch" not in query:
                    self._list(writer)
                else:
                    self._watch(writer, int(query["resourceVersion"]))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._open.discard(writer)
            writer.close()

    def _list(self, writer: asyncio.StreamWriter) -> None:
        self.lists += 1
        status, body = "200 OK", {"metadata": {"resourceVersion": str(self.version)}, "items": [*self.objects.values()]}
        if self.refusal:
            status, body = f"{self.refusal} No", {"reason": "Forbidden", "message": "pods is forbidden"}
        data = json.dumps(body).encode()
        writer.write(f"HTTP/1.1 {status}\r\nContent-Length: {len(data)}\r\n\r\n".encode() + data)

    def _page(self, writer: asyncio.StreamWriter, path: str) -> None:
        status, body = "200 OK", self.pages.get(path)
        if body is None:
            status, body = "403 Forbidden", {"reason": "Forbidden", "message": f"{path} is forbidden"}
        data = json.dumps(body).encode()
        writer.write(f"HTTP/1.1 {status}\r\nContent-Length: {len(data)}\r\n\r\n".encode() + data)

    def _watch(self, writer: asyncio.StreamWriter, version: int) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        if version < self.oldest:
            writer.write(chunk(json.dumps({"type": "ERROR", "object": {"code": 410, "message": "too old"}})))
        for at, line in self.history:
            if at > version >= self.oldest:
                writer.write(chunk(line))
        self._open.add(writer)
        self.watching.set()
