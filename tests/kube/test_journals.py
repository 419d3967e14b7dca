"""The journal out of pods' logs: whose it is, when it happened, and that nobody else's log is read."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from lameduck.core.instants import MILLISECOND, SECOND
from lameduck.core.timeline import Event, Milestone
from lameduck.kube.api import ApiError
from lameduck.kube.journals import QUICKEST, Journals

NODE = 500 * SECOND
"""How far the node's clock is ahead of ours."""


def line(event: str, ours: float, part: str = "run", **facts: Any) -> str:
    at = round(ours * SECOND) + NODE
    return json.dumps({"lameduck": part, "event": event, "message": event, "monotonic_ns": at, "pod": "x", **facts})


class Logs:
    """Logs by pod and container; each line arrives ``late`` after it was written."""

    def __init__(self, logs: Mapping[tuple[str, str], list[str]]) -> None:
        self.logs = dict(logs)
        self.asked: list[str] = []
        self.now = 0
        self.late = 20 * MILLISECOND

    def clock(self) -> int:
        return self.now

    def _lines(self, url: str, container: str) -> list[str]:
        pod = url.rsplit("/", 2)[-2]
        self.asked.append(f"{pod}/{container}")
        if (pod, container) not in self.logs:
            raise ApiError(400, "BadRequest", "container is not there")
        return self.logs[pod, container]

    async def text(self, url: str, params: Mapping[str, str]) -> str:
        return "\n".join(self._lines(url, params["container"]))

    @asynccontextmanager
    async def lines(self, url: str, params: Mapping[str, str], _: float) -> AsyncIterator[AsyncIterator[str]]:
        yield self._told(self._lines(url, params["container"]))

    async def _told(self, lines: list[str]) -> AsyncIterator[str]:
        for each in lines:
            if each.startswith("{"):
                self.now = json.loads(each)["monotonic_ns"] - NODE + self.late
            yield each
            await asyncio.sleep(0)


def pod(name: str, **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"nodeName": "node-1", "containers": [{"name": "app"}], **spec}}


def read(logs: Logs, *pods: dict[str, Any], clocks: Any = None) -> list[Any]:
    async def main() -> list[Any]:
        journals = Journals(logs, "ns", "app", logs.clock)  # type: ignore[arg-type]
        await journals.begin(pods)
        for each in pods:
            journals.follow(each, each["metadata"]["name"])
            journals.follow(each, each["metadata"]["name"])
        await asyncio.gather(*journals._tasks.values())
        return list(journals.observations(clocks))

    return asyncio.run(main())


LIFE = [
    line("started", 1),
    "10.0.0.1 GET / 200",
    line("stop_signal", 10, signal="SIGTERM"),
    line("forwarded", 14, signal="SIGTERM", waited_s=4.0),
    line("exited", 15, code=0),
]


def test_the_stop_signal_is_dated_on_our_clock_as_late_as_the_quickest_line_took() -> None:
    seen = read(Logs({("a", "app"): LIFE}), pod("a"))
    marks = {each.what: each for each in seen}
    assert marks[Milestone.STOP_SIGNAL].at == 10 * SECOND + 20 * MILLISECOND
    assert marks[Milestone.STOP_SIGNAL].precision == QUICKEST
    assert marks[Milestone.FORWARDED].detail["waited_ns"] == 4 * SECOND
    assert marks[Event.POD_FACT].detail["command_code"] == 0


def test_a_clock_that_is_known_dates_it_better() -> None:
    seen = read(Logs({("a", "app"): LIFE}), pod("a"), clocks={"node-1": lambda at: at - NODE})
    assert {each.what: each.at for each in seen}[Milestone.STOP_SIGNAL] == 10 * SECOND
    assert max(each.precision for each in seen) <= MILLISECOND


def test_a_pod_without_a_journal_is_looked_at_once_and_left_alone() -> None:
    logs = Logs({("a", "app"): ["10.0.0.1 GET / 200"] * 3, ("b", "app"): []})
    assert read(logs, pod("a"), pod("b")) == []
    assert logs.asked == ["a/app"]


def test_a_drain_sidecars_journal_is_read_as_well() -> None:
    sidecar = {"name": "drain", "args": ["drain", "--listen", "9190"]}
    drained = [line("prestop_started", 10, "sidecar"), line("drained", 13, "sidecar", reason="quiet")]
    logs = Logs({("a", "app"): [], ("a", "drain"): drained})
    seen = read(logs, pod("a", initContainers=[sidecar]))
    assert [each.what for each in seen] == [Milestone.PRESTOP_STARTED, Milestone.PRESTOP_FINISHED]
    assert seen[1].detail["reason"] == "quiet"


def test_logs_that_may_not_be_read_are_no_error() -> None:
    assert read(Logs({}), pod("a")) == []
