"""A watch over real sockets: it resumes, it lists again, and it says where it was blind."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import yaml
from tests.kube.apiserver import FakeApi

from lameduck.core.instants import MILLISECOND
from lameduck.kube.api import Api, ApiError
from lameduck.kube.connect import find_context
from lameduck.kube.watching import Gap, Seen, Watch


class Story:
    """What a watch has told."""

    def __init__(self) -> None:
        self.told: list[Seen | Gap] = []
        self.changed = asyncio.Event()

    def __call__(self, told: Seen | Gap) -> None:
        self.told.append(told)
        self.changed.set()

    @property
    def lines(self) -> list[str]:
        return [
            ("gap, listed again" if each.relist else "gap, resumed")
            if isinstance(each, Gap)
            else f"{each.change.value} {each.object['metadata']['name']}"
            for each in self.told
        ]

    @property
    def lasting(self) -> list[str]:
        """The lines without resumed gaps, of which a busy machine makes more than one."""
        return [line for line in self.lines if line != "gap, resumed"]

    async def until(self, line: str, times: int = 1) -> None:
        async with asyncio.timeout(10):
            while self.lines.count(line) < times:
                self.changed.clear()
                await self.changed.wait()


Test = Callable[[FakeApi, Story, "asyncio.Task[None]"], Awaitable[None]]


@pytest.fixture
def told(tmp_path: Path) -> Callable[[Test], None]:
    """Runs a test with a server that has pod `a`, and a watch of it that is open."""

    async def main(test: Test) -> None:
        async with FakeApi() as server:
            server.put("ADDED", "a")
            file = tmp_path / "kubeconfig"
            file.write_text(yaml.safe_dump({
                "current-context": "kind-test",
                "contexts": [{"name": "kind-test", "context": {"cluster": "c", "user": "u", "namespace": "ns"}}],
                "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{server.port}"}}],
                "users": [{"name": "u", "user": {"token": "t"}}],
            }))  # fmt: skip
            api, story = Api(find_context(str(file))), Story()
            task = asyncio.create_task(Watch(api, "pods", "ns", story, time.monotonic_ns, selector="app=x").run())
            try:
                async with asyncio.timeout(10):
                    await server.watching.wait()
                await test(server, story, task)
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
                await api.close()

    return lambda test: asyncio.run(main(test))


def test_what_was_there_is_listed_and_what_comes_is_told_in_order(told: Callable[[Test], None]) -> None:
    async def test(server: FakeApi, story: Story, _: object) -> None:
        server.put("ADDED", "b")
        server.put("MODIFIED", "a")
        server.put("DELETED", "b")
        await story.until("DELETED b")
        assert story.lines == ["LISTED a", "ADDED b", "MODIFIED a", "DELETED b"]
        assert server.asked[0]["labelSelector"] == "app=x"

    told(test)


def test_a_dropped_watch_resumes_from_where_it_was_and_misses_nothing(told: Callable[[Test], None]) -> None:
    async def test(server: FakeApi, story: Story, _: object) -> None:
        server.drop()
        server.put("ADDED", "b")
        await story.until("ADDED b")
        assert server.lists == 1
        assert "gap, listed again" not in story.lines

    told(test)


def test_what_a_resumed_watch_brings_may_be_as_old_as_the_gap(told: Callable[[Test], None]) -> None:
    async def test(server: FakeApi, story: Story, _: object) -> None:
        server.stop_listening()
        server.put("ADDED", "b")
        await asyncio.sleep(0.3)  # the length of the outage is what is tested
        await server.listen_again()
        await story.until("ADDED b")
        gap, late = story.told[-2:]
        assert isinstance(gap, Gap)
        assert isinstance(late, Seen)
        assert story.lines[-2] == "gap, resumed"
        assert gap.end - gap.start >= 250 * MILLISECOND
        assert late.precision >= 250 * MILLISECOND

    told(test)


def test_a_version_that_is_too_old_means_a_new_list_and_what_went_meanwhile_is_told(
    told: Callable[[Test], None],
) -> None:
    async def test(server: FakeApi, story: Story, _: object) -> None:
        server.put("ADDED", "b")
        await story.until("ADDED b")
        server.drop()
        server.put("DELETED", "b")
        server.put("ADDED", "c")
        server.forget()
        server.version += 1
        server.oldest += 1
        server.put("MODIFIED", "a")
        await story.until("LISTED c")
        assert story.lasting[2:] == ["gap, listed again", "DELETED b", "LISTED a", "LISTED c"]

    told(test)


def test_a_pod_replaced_under_the_same_name_while_we_were_blind_is_told_as_deleted(
    told: Callable[[Test], None],
) -> None:
    async def test(server: FakeApi, story: Story, _: object) -> None:
        server.drop()
        server.put("DELETED", "a")
        server.put("ADDED", "a", uid="another")
        server.forget()
        await story.until("LISTED a", times=2)
        assert story.lasting == ["LISTED a", "gap, listed again", "DELETED a", "LISTED a"]

    told(test)


def test_a_bookmark_moves_the_place_to_resume_from(told: Callable[[Test], None]) -> None:
    async def test(server: FakeApi, story: Story, _: object) -> None:
        server.bookmark(900)
        server.put("ADDED", "b")
        server.bookmark(950)
        server.put("ADDED", "c")
        await story.until("ADDED c")
        server.bookmark(990)
        server.drop()
        async with asyncio.timeout(10):
            await server.watching.wait()
        assert [each["resourceVersion"] for each in server.asked if "watch" in each] in (["2", "951"], ["2", "990"])

    told(test)


def test_who_may_not_list_is_told_so_instead_of_asking_again_and_again(told: Callable[[Test], None]) -> None:
    async def test(server: FakeApi, _: Story, task: asyncio.Task[None]) -> None:
        server.refusal = 403
        server.version += 1
        server.forget()
        server.drop()
        with pytest.raises(ApiError, match="pods is forbidden"):
            async with asyncio.timeout(10):
                await task

    told(test)
