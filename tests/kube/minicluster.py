"""A cluster in miniature over real sockets: an API server with every resource that a proof needs, a Deployment that
rolls when it is patched, and a Service whose address answers as one of the ready pods. The tests break its watches."""

from __future__ import annotations

import asyncio
import json
from itertools import cycle, islice
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

Json = dict[str, Any]
RESOURCES = (
    "pods", "services", "endpointslices", "events", "deployments", "poddisruptionbudgets", "horizontalpodautoscalers",
)  # fmt: skip


class MiniCluster:
    """Three pods of `shop` behind the Service `shop`. `api` is the API server's URL."""

    def __init__(self) -> None:
        self.version, self.oldest, self.born = 1, 0, 0
        self.objects: dict[str, dict[str, Json]] = {resource: {} for resource in RESOURCES}
        self.history: list[tuple[int, str, str]] = []
        self.watchers: set[tuple[str, asyncio.StreamWriter]] = set()
        self.turn = 0
        self.tasks: set[asyncio.Task[None]] = set()
        self.rolled = asyncio.Event()
        self.scaled: list[int] = []
        self.start_takes = 0.1

    async def __aenter__(self) -> Self:
        self.app = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self.server.sockets[0].getsockname()[1]
        self.api = f"http://127.0.0.1:{self.port}"
        template = {"metadata": {"labels": {"app": "shop"}}, "spec": {"containers": [self._container()]}}
        self._put("deployments", "ADDED", {
            "metadata": {"name": "shop", "namespace": "ns", "generation": 1},
            "spec": {"replicas": 3, "selector": {"matchLabels": {"app": "shop"}}, "template": template},
            "status": {"observedGeneration": 1},
        })  # fmt: skip
        port = self.app.sockets[0].getsockname()[1]
        self._put("services", "ADDED", {
            "metadata": {"name": "shop", "namespace": "ns"},
            "spec": {"clusterIP": "127.0.0.1", "selector": {"app": "shop"}, "ports": [{"port": port}]},
        })  # fmt: skip
        for _ in range(3):
            self._ready(self._create())
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self.tasks:
            task.cancel()
        self.server.close()
        self.app.close()
        self.drop()

    # faults

    def drop(self) -> None:
        """Every watch breaks."""
        for _, writer in self.watchers:
            writer.transport.abort()
        self.watchers.clear()

    def forget(self) -> None:
        """Every watch breaks, and what they had seen is too old to go on from (410)."""
        self.version += 1
        self.oldest = self.version
        self.drop()

    async def restart(self, blind: float) -> None:
        """The API server goes, and comes back with nothing in its watch cache."""
        self.server.close()
        self.forget()
        await asyncio.sleep(blind)
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    # the controllers

    async def roll(self) -> None:
        """A rolling update: each new pod ready before an old one goes."""
        for old in [name for name, pod in self.objects["pods"].items() if not pod["metadata"].get("deletionTimestamp")]:
            name = self._create()
            await asyncio.sleep(0.1)
            self._ready(name)
            await asyncio.sleep(0.05)
            await self._delete(old)
        self.rolled.set()

    async def _scale(self, replicas: int) -> None:
        pods = list(self.objects["pods"])
        for name in pods[replicas:]:
            await self._delete(name)
        for _ in range(replicas - len(pods)):
            name = self._create()
            await asyncio.sleep(self.start_takes)
            self._ready(name)

    def _create(self) -> str:
        self.born += 1
        name = f"shop-{self.born}"
        self._put("pods", "ADDED", {
            "metadata": {"name": name, "namespace": "ns", "uid": name, "labels": {"app": "shop"}},
            "spec": {"nodeName": "node-1", "containers": [self._container()]},
            "status": {},
        })  # fmt: skip
        return name

    def _ready(self, name: str) -> None:
        pod = self.objects["pods"][name]
        running = {"name": "app", "state": {"running": {}}}
        condition = {"type": "Ready", "status": "True"}
        pod["status"] = {"podIP": f"10.9.9.{self.born}", "containerStatuses": [running], "conditions": [condition]}
        self._put("pods", "MODIFIED", pod)
        self._slice()

    async def _delete(self, name: str) -> None:
        pod = self.objects["pods"][name]
        pod["metadata"] |= {"deletionTimestamp": "soon", "deletionGracePeriodSeconds": 30}
        self._put("pods", "MODIFIED", pod)
        self._slice()
        await asyncio.sleep(0.05)
        pod["status"]["containerStatuses"] = [{"name": "app", "state": {"terminated": {"exitCode": 0}}}]
        self._put("pods", "MODIFIED", pod)
        self._put("pods", "DELETED", pod)
        self._slice()

    def _slice(self) -> None:
        endpoints = [
            {"targetRef": {"name": name, "uid": name}, "conditions": {"ready": not going, "terminating": going}}
            for name, pod in self.objects["pods"].items()
            if pod["status"]
            for going in [bool(pod["metadata"].get("deletionTimestamp"))]
        ]
        kind = "MODIFIED" if self.objects["endpointslices"] else "ADDED"
        self._put("endpointslices", kind, {"metadata": {"name": "shop-x", "namespace": "ns"}, "endpoints": endpoints})

    @staticmethod
    def _container() -> Json:
        return {"name": "app", "readinessProbe": {"httpGet": {"port": 8080}}, "ports": [{"containerPort": 8080}]}

    # the API server

    def _put(self, resource: str, kind: str, each: Json) -> None:
        self.version += 1
        each["metadata"]["resourceVersion"] = str(self.version)
        if kind == "DELETED":
            self.objects[resource].pop(each["metadata"]["name"])
        else:
            self.objects[resource][each["metadata"]["name"]] = each
        line = json.dumps({"type": kind, "object": each})
        self.history.append((self.version, resource, line))
        for watched, writer in self.watchers:
            if watched == resource:
                writer.write(_chunk(line))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                sizes = [line[16:] for line in head.lower().split("\r\n") if line.startswith("content-length: ")]
                body = await reader.readexactly(int(sizes[0]) if sizes else 0)
                method, target, _ = head.split(" ", 2)
                self._request(method, target, json.loads(body or b"{}"), writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    def _request(self, method: str, target: str, body: Json, writer: asyncio.StreamWriter) -> None:
        url = urlsplit(target)
        query = {key: value[0] for key, value in parse_qs(url.query).items()}
        *_, before, last = url.path.split("/")
        if last in RESOURCES and "watch" in query:
            self._watch(last, int(query["resourceVersion"]), writer)
        elif last in RESOURCES:
            _say(writer, {"metadata": {"resourceVersion": str(self.version)}, "items": [*self.objects[last].values()]})
        elif last == "version":
            _say(writer, {"gitVersion": "v1.34.4"})
        elif method == "POST":
            _say(writer, {"status": {"allowed": True}})
        elif last == "scale":
            self.objects["deployments"]["shop"]["spec"]["replicas"] = body["spec"]["replicas"]
            self.scaled.append(body["spec"]["replicas"])
            self.tasks.add(asyncio.create_task(self._scale(body["spec"]["replicas"])))
            _say(writer, {})
        elif method == "PATCH":
            deployment = self.objects["deployments"]["shop"]
            deployment["metadata"]["generation"] += 1
            deployment["spec"]["template"]["metadata"]["annotations"] = {
                key: value
                for key, value in body["spec"]["template"]["metadata"]["annotations"].items()
                if value is not None
            }
            self._put("deployments", "MODIFIED", deployment)
            self.tasks.add(asyncio.create_task(self.roll()))
            _say(writer, deployment)
        elif last == "log":
            _say(writer, {})
        elif last in self.objects.get(before, {}):
            _say(writer, self.objects[before][last])
        else:
            _say(writer, {"reason": "NotFound", "message": f"{last} not found"}, "404 Not Found")

    def _watch(self, resource: str, version: int, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        if version < self.oldest:
            writer.write(_chunk(json.dumps({"type": "ERROR", "object": {"code": 410, "message": "too old"}})))
            return
        for at, what, line in self.history:
            if what == resource and at > version:
                writer.write(_chunk(line))
        self.watchers.add((resource, writer))

    # the Service

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                await reader.readuntil(b"\r\n\r\n")
                ready = [
                    name for name, pod in self.objects["pods"].items() if "deletionTimestamp" not in pod["metadata"]
                ]
                self.turn += 1
                name = next(islice(cycle(ready), self.turn % len(ready), None))
                writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Served-By: {name}\r\n\r\nok".encode())
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()


def _chunk(line: str) -> bytes:
    data = line.encode() + b"\n"
    return b"%x\r\n%s\r\n" % (len(data), data)


def _say(writer: asyncio.StreamWriter, body: Json, status: str = "200 OK") -> None:
    data = json.dumps(body).encode()
    writer.write(f"HTTP/1.1 {status}\r\nContent-Length: {len(data)}\r\n\r\n".encode() + data)
