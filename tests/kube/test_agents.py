"""Agents: real ones over real sockets, with an API server's proxy in between that the tests can break."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from lameduck.agent import Agent as Process
from lameduck.agent import Refused, _resolved
from lameduck.core.errors import EnvironmentFault
from lameduck.core.exchange import Lane
from lameduck.core.instants import MILLISECOND, SECOND
from lameduck.core.plan import RequestShape, TrafficPlan
from lameduck.core.timeline import Milestone, Observation
from lameduck.kube import wire
from lameduck.kube.agents import Agents, AgentsWish, manifest
from lameduck.kube.api import ApiError, Json, Unreachable
from lameduck.kube.inside import AgentKnocker, Aim, InsideLoad
from lameduck.kube.restoring import Ledger
from lameduck.runfile import plan_as_json, read

SKEW = 5 * SECOND


class Proxy:
    """What an API server does for agents: makes their pods, and passes requests on to them."""

    def __init__(self, folder: Path, skews: tuple[int, ...] = (SKEW,)) -> None:
        self.folder, self.skews = folder, skews
        self.processes: dict[str, tuple[Process, asyncio.Task[None], int]] = {}
        self.cut_after: int | None = None
        self.spoil = False
        self.ranges: list[str] = []
        self.deleted: list[str] = []
        self.waiting: Json | None = None
        self.client = httpx2.AsyncClient(verify=False)
        self.context: Any = type("Context", (), {"kubeconfig": "", "name": "kind-test"})()

    async def make(self, count: int, token: str) -> None:
        for index in range(count):
            skew = self.skews[index % len(self.skews)]
            box = self.folder / f"pod-{index}"
            box.mkdir()
            process = Process(box, token, lambda skew=skew: time.monotonic_ns() + skew)  # type: ignore[misc]
            with _Free() as port:
                task = asyncio.create_task(process.live(port))
            self.processes[f"agent-{index}"] = (process, task, port)

    async def get(self, resource: str, namespace: str = "", *_: str, **__: str) -> Json:
        assert (resource, namespace) == ("pods", "ns")
        status: Json = {"phase": "Running"}
        if self.waiting is not None:
            status = {"phase": "Pending", "containerStatuses": [{"state": {"waiting": self.waiting}}]}
        key = "batch.kubernetes.io/job-completion-index"
        return {
            "items": [
                {
                    "metadata": {"name": name, "annotations": {key: name[-1]}},
                    "spec": {"nodeName": "node-1"},
                    "status": status,
                }
                for name in self.processes
            ]
        }

    async def call(self, method: str, url: str, body: Any = None, **more: Any) -> Json:
        if url.endswith("/jobs"):
            env = body["spec"]["template"]["spec"]["containers"][0]["env"]
            await self.make(body["spec"]["completions"], env[0]["value"])
            return {}
        if "/jobs/" in url:
            self.deleted.append(method)
            return {}
        answer = await self._send(method, url, body, more["headers"])
        if answer.is_error:
            raise ApiError(answer.status_code, "", answer.text)
        return dict(answer.json())

    async def _send(self, method: str, url: str, body: Any, headers: Mapping[str, str]) -> httpx2.Response:
        try:
            return await self.client.request(method, self.target(url), json=body, headers=dict(headers))
        except httpx2.HTTPError as error:
            raise Unreachable(str(error)) from None

    def target(self, url: str) -> str:
        name = url.partition("/pods/")[2].partition(":")[0]
        if name not in self.processes:
            raise ApiError(404, "NotFound", f"pods {name} not found")
        return f"http://127.0.0.1:{self.processes[name][2]}{url.partition('/proxy')[2]}"

    @asynccontextmanager
    async def pieces(self, url: str, headers: Mapping[str, str]) -> AsyncIterator[AsyncIterator[bytes]]:
        self.ranges.append(headers.get("Range", ""))
        answer = await self._send("GET", url, None, headers)
        if answer.is_error:
            raise ApiError(answer.status_code, "", answer.text)
        yield self._some(answer.content)

    async def _some(self, content: bytes) -> AsyncIterator[bytes]:
        if self.cut_after is not None:
            yield content[: self.cut_after]
            self.cut_after = None
            raise Unreachable("the connection broke")
        yield bytes(len(content)) if self.spoil else content

    def kill(self, name: str) -> None:
        self.processes.pop(name)[1].cancel()

    async def close(self) -> None:
        await self.client.aclose()
        for process, task, _ in self.processes.values():
            process._over.set()
            await asyncio.gather(task, return_exceptions=True)


class _Free:
    """A port that nobody listens at."""

    def __enter__(self) -> int:
        import socket

        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            return int(free.getsockname()[1])

    def __exit__(self, *_: object) -> None:
        return


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            status = b"200 OK" if b"X-Secret: value" in head else b"401 No"
            writer.write(b"HTTP/1.1 " + status + b"\r\nContent-Length: 2\r\nX-Served-By: pod-a\r\n\r\nok")
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


Story = Callable[[InsideLoad, Agents, Proxy], Awaitable[None]]


@pytest.fixture
def played(tmp_path: Path) -> Callable[..., tuple[InsideLoad, list[Observation]]]:
    """Plays a load of agents to its end; ``story`` goes on meanwhile and says when it is over."""

    def play(story: Story, *, skews: tuple[int, ...] = (SKEW,)) -> tuple[InsideLoad, list[Observation]]:
        return asyncio.run(main(story, skews))

    async def main(story: Story, skews: tuple[int, ...]) -> tuple[InsideLoad, list[Observation]]:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        proxy, seen = Proxy(tmp_path, skews), list[Observation]()
        wish = AgentsWish(len(skews), "lameduck-agent:dev", 60 * SECOND)
        ledger = Ledger(tmp_path / "ledger.json")
        agents = Agents(proxy, "ns", wish, tmp_path, time.monotonic_ns, ledger)  # type: ignore[arg-type]
        plan = TrafficPlan(rate=200, requests=(RequestShape(secret_headers=(("X-Secret", "SECRET"),)),))
        try:
            await agents.start()
            assert (tmp_path / "ledger.json").exists()
            aim, secrets = Aim("127.0.0.1", port, "shop.ns.svc"), {"SECRET": "value"}
            load = InsideLoad(agents, plan, aim, secrets, seen.append, time.monotonic_ns)
            sending = asyncio.create_task(load.run(bounded=False))
            try:
                await story(load, agents, proxy)
            finally:
                load.stop()
                async with asyncio.timeout(30):
                    await sending
            await agents.stop()
            assert proxy.deleted == ["DELETE"]
            assert not (tmp_path / "ledger.json").exists()
        finally:
            server.close()
            await proxy.close()
        return load, seen

    return play


async def a_while(load: InsideLoad, agents: Agents, proxy: Proxy) -> None:
    async with asyncio.timeout(20):
        while load.counts()[0] < 200:
            await asyncio.sleep(0.05)


def test_the_records_of_two_agents_with_other_clocks_become_one_on_ours(
    played: Callable[..., tuple[InsideLoad, list[Observation]]],
) -> None:
    before = time.monotonic_ns()
    load, _ = played(a_while, skews=(SKEW, -SKEW))
    after, recording = time.monotonic_ns(), load.recording
    assert len(recording) >= 200
    assert recording.failed == 0
    assert len(recording.settled) == len(recording)
    assert all(before <= at <= after for at in recording.intended_start)
    assert {recording.names.texts[each] for each in recording.served_by} == {"pod-a"}
    assert {recording.exchange(row).lane for row in range(len(recording))} == {Lane.NEW, Lane.REUSE}
    first, second = load.senders
    assert (first["first"], first["last"], second["last"]) == (0, second["first"], len(recording))
    assert all(each["whole"] and each["clock_error"] < 500 * MILLISECOND for each in load.senders)  # a busy machine
    parts = [recording.intended_start[each["first"] : each["last"]] for each in load.senders]
    steps = [b - a for part in parts for a, b in itertools.pairwise(part)]
    assert all(abs(step - 10 * MILLISECOND) < MILLISECOND for step in steps)  # 200 a second, in turns
    apart = abs(parts[1][0] - parts[0][0] - 5 * MILLISECOND)
    assert apart <= first["clock_error"] + second["clock_error"]
    numbers = [set(recording.connection[each["first"] : each["last"]]) - {0} for each in load.senders]
    assert not numbers[0] & numbers[1]


def test_an_interrupted_download_goes_on_where_it_was(
    played: Callable[..., tuple[InsideLoad, list[Observation]]],
) -> None:
    async def story(load: InsideLoad, agents: Agents, proxy: Proxy) -> None:
        await a_while(load, agents, proxy)
        proxy.cut_after = 1_000
        load.ranges = proxy.ranges  # type: ignore[attr-defined]

    load, _ = played(story)
    assert load.ranges == ["", "bytes=1000-"]  # type: ignore[attr-defined]
    assert load.senders[0]["whole"]
    assert load.recording.failed == 0


def test_a_record_that_came_changed_is_no_record(
    played: Callable[..., tuple[InsideLoad, list[Observation]]],
) -> None:
    async def story(load: InsideLoad, agents: Agents, proxy: Proxy) -> None:
        await a_while(load, agents, proxy)
        proxy.spoil = True

    load, _ = played(story)
    assert len(load.recording) == 0
    assert not load.senders[0]["whole"]
    assert "are not what was sent" in load.senders[0]["why"]


def test_an_agent_that_is_gone_is_told_and_the_others_records_stay(
    played: Callable[..., tuple[InsideLoad, list[Observation]]],
) -> None:
    async def story(load: InsideLoad, agents: Agents, proxy: Proxy) -> None:
        await a_while(load, agents, proxy)
        proxy.kill("agent-0")
        async with asyncio.timeout(15):
            while len(agents.alive) > 1:
                await asyncio.sleep(0.05)

    load, _ = played(story, skews=(0, 0))
    lost, kept = load.senders
    assert (lost["whole"], kept["whole"]) == (False, True)
    assert lost["why"] == "the pod agent-0 is gone"
    assert lost["first"] == lost["last"]
    assert kept["last"] == len(load.recording) > 0


def test_an_agent_knocks_where_its_driver_says_and_its_marks_come_on_the_drivers_clock(
    played: Callable[..., tuple[InsideLoad, list[Observation]]],
) -> None:
    before = time.monotonic_ns()

    async def story(load: InsideLoad, agents: Agents, proxy: Proxy) -> None:
        knocks = []

        async def opened(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            knocks.append(writer.close())

        server = await asyncio.start_server(opened, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        knocker = AgentKnocker(agents, port)
        knocker.opening("new", "127.0.0.1")
        knocker.closing("old", "127.0.0.1", time.monotonic_ns())
        async with asyncio.timeout(20):
            while knocker._tasks or len(knocks) < 10:
                await asyncio.sleep(0.02)
        server.close()
        await server.wait_closed()
        await a_while(load, agents, proxy)
        await knocker.close()

    _, seen = played(story)
    marks = {(each.what, each.subject): each for each in seen}
    opened, closed = marks[Milestone.LISTENING, "new"], marks[Milestone.LISTENER_CLOSED, "old"]
    assert before < opened.at < closed.at < time.monotonic_ns()
    assert {each.source for each in seen} == {"agent"}


def test_what_an_agent_finds_out_before_it_is_started_is_in_its_record(tmp_path: Path) -> None:
    """Its driver's eyes are open before the load begins, and the order to knock may come first."""

    async def main() -> list[Observation]:
        process = Process(tmp_path, "token", time.monotonic_ns)
        server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        await process._knock({"port": port, "open": True, "pod": "new", "ip": "127.0.0.1"})
        await asyncio.gather(*process._knocking[port]._tasks.values())
        server.close()
        plan = TrafficPlan(rate=50)
        order = {**wire.pack(plan, plan_as_json(wire.bare(plan)), {}), "part": [0, 1]}
        await process._start(
            order | {"address": "127.0.0.1", "port": port, "host": "x", "started": time.monotonic_ns()}
        )
        assert process._engine is not None
        assert process._load is not None
        async with asyncio.timeout(30):
            while not process._engine.counts()[0]:
                await asyncio.sleep(0.02)
            process._engine.stop()
            await process._load
        return list(read(process.file).run.observations)

    assert [(seen.what, seen.subject) for seen in asyncio.run(main())] == [(Milestone.LISTENING, "new")]


def test_an_agent_without_the_runs_token_says_nothing_and_one_that_hears_nothing_stops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        now = 0
        process = Process(tmp_path, "token", lambda: now)
        with _Free() as port:
            task = asyncio.create_task(process.live(port))
        async with httpx2.AsyncClient() as client:
            answer = None
            while answer is None:
                try:
                    answer = await client.get(f"http://127.0.0.1:{port}/clock", headers={wire.TOKEN: "guessed"})
                except httpx2.ConnectError:
                    await asyncio.sleep(0.02)
            assert answer.status_code == 403
            assert (await client.get(f"http://127.0.0.1:{port}/clock", headers={wire.TOKEN: "token"})).json() == {
                "now": 0
            }
        assert not task.done()
        now = 500 * SECOND
        async with asyncio.timeout(5):
            await task

    asyncio.run(main())


def test_an_agent_whose_driver_dies_just_after_the_start_stops_soon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not after the patience that it has for its driver's first word."""
    monkeypatch.setattr(wire, "SILENCE", 1.0)

    async def main() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        proxy, ledger = Proxy(tmp_path), Ledger(tmp_path / "l")
        wish = AgentsWish(1, "image:1", 60 * SECOND)
        agents = Agents(proxy, "ns", wish, tmp_path, time.monotonic_ns, ledger)  # type: ignore[arg-type]
        try:
            await agents.start()
            load = InsideLoad(
                agents, TrafficPlan(rate=50), Aim("127.0.0.1", port, "shop"), {}, print, time.monotonic_ns
            )
            await load._start(agents.all[0], time.monotonic_ns())
            async with asyncio.timeout(10):
                await proxy.processes["agent-0"][1]
        finally:
            server.close()
            await proxy.close()

    asyncio.run(main())


def test_a_name_server_that_says_nothing_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lameduck.agent.RESOLVED_WITHIN", 0.1)
    over = threading.Event()
    monkeypatch.setattr("lameduck.load.dialer.socket.getaddrinfo", lambda *_, **__: over.wait(60) and [])

    async def main() -> None:
        try:
            with pytest.raises(Refused, match=r"shop\.ns\.svc was not resolved within 0\.1 s"):
                await _resolved("shop.ns.svc", 80)
        finally:
            over.set()

    asyncio.run(main())


def test_an_image_that_is_not_there_is_said_with_how_to_build_it(tmp_path: Path) -> None:
    async def main() -> None:
        proxy = Proxy(tmp_path)
        proxy.waiting = {"reason": "ErrImageNeverPull", "message": "Container image is not present"}
        wish = AgentsWish(1, "nowhere:1", 60 * SECOND)
        agents = Agents(proxy, "ns", wish, tmp_path, time.monotonic_ns, Ledger(tmp_path / "l"))  # type: ignore[arg-type]
        try:
            with pytest.raises(EnvironmentFault, match="scripts/agent-image"):
                await agents.start()
        finally:
            await agents.stop()
            await proxy.close()

    asyncio.run(main())


def test_an_agents_pod_has_no_token_no_root_and_no_writable_disk() -> None:
    job = manifest(AgentsWish(3, "image:1", 900 * SECOND), "lameduck-agents-x", "ns", "secret")
    spec, pod = job["spec"], job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert (spec["completionMode"], spec["completions"], spec["parallelism"]) == ("Indexed", 3, 3)
    assert (spec["activeDeadlineSeconds"], spec["backoffLimitPerIndex"], spec["maxFailedIndexes"]) == (900, 0, 3)
    assert spec["ttlSecondsAfterFinished"] <= 60
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container["resources"]["requests"]
    assert pod["topologySpreadConstraints"][0]["topologyKey"] == "kubernetes.io/hostname"
