"""The journal that `lameduck-pod` writes into a pod's log, read while the pod lives.

Law: only pods whose log begins with a journal are followed, so that an access log of thousands of lines a second is
nobody's burden. A line is dated by its own clock, which is its node's; where that stands on ours is known from when the
node's lines arrived, no better than the quickest of them took. What is told is told after the load has ended.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from lameduck.core import journal
from lameduck.core.errors import LameduckError
from lameduck.core.instants import MILLISECOND
from lameduck.core.timeline import Observation
from lameduck.kube.api import Api, Json, path

BEGINNING = 65_536
"""Bytes of a log in which the journal's first line stands, if there is one."""
QUICKEST = 60 * MILLISECOND
"""How long the quickest line of a node may have taken to arrive (ns)."""
LONGEST = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class Heard:
    """One line: which pod's, of which node, when it arrived (ns)."""

    subject: str
    node: str
    at: int
    entry: journal.Entry


class Journals:
    """Follows logs from `begin` to `close`; `observations` tells what they said."""

    def __init__(self, api: Api, namespace: str, container: str, clock: Callable[[], int]) -> None:
        self._api, self._namespace, self._container, self._clock = api, namespace, container, clock
        self._on = False
        self._tasks: dict[tuple[str, str], asyncio.Task[None]] = {}
        self.heard: list[Heard] = []

    async def begin(self, pods: Sequence[Json]) -> bool:
        """Whether these pods keep a journal at all: a look at the beginning of one log of each container."""
        for pod in pods[:1]:
            for container in self._containers(pod):
                params = {"container": container, "limitBytes": str(BEGINNING)}
                try:
                    text = await self._api.text(self._url(pod["metadata"]["name"]), params)
                except LameduckError:
                    continue
                self._on |= any(True for _ in journal.entries(text.splitlines()))
        return self._on

    def follow(self, pod: Json, subject: str) -> None:
        """A pod's containers run. May be called often."""
        if not self._on:
            return
        for container in self._containers(pod):
            if (subject, container) not in self._tasks:
                task = asyncio.create_task(self._read(pod, subject, container))
                self._tasks[subject, container] = task

    async def close(self) -> None:
        """Follow no more."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    def observations(self, clocks: Mapping[str, Callable[[int], int]] | None = None) -> Iterator[Observation]:
        """What was heard, in its order, on our clock. ``clocks`` turns the instants of some nodes, by name."""
        offsets = {
            node: journal.offset((each.at, each.entry) for each in self.heard if each.node == node)
            for node in {each.node for each in self.heard}
        }
        for each in self.heard:
            known = (clocks or {}).get(each.node)
            at = known(each.entry.monotonic) if known else each.entry.monotonic + (offsets[each.node] or 0)
            seen = journal.observation(each.entry, each.subject, at, MILLISECOND if known else QUICKEST)
            if seen is not None:
                yield seen

    def _containers(self, pod: Json) -> list[str]:
        """The one that serves, and sidecars that drain for it."""
        spec = pod["spec"]
        listed = [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]
        drains = [each["name"] for each in listed if "--listen" in (each.get("args") or each.get("command") or ())]
        return list(dict.fromkeys([self._container, *drains]))

    def _url(self, pod: str) -> str:
        return path("pods", self._namespace, pod, "log")

    async def _read(self, pod: Json, subject: str, container: str) -> None:
        node = str(pod["spec"].get("nodeName", ""))
        params = {"container": container, "follow": "true", "sinceSeconds": "5"}
        for _ in range(5):
            try:
                async with self._api.lines(self._url(pod["metadata"]["name"]), params, LONGEST) as lines:
                    async for line in lines:
                        entry = journal.read(line)
                        if entry is not None:
                            self.heard.append(Heard(subject, node, self._clock(), entry))
            except LameduckError:
                await asyncio.sleep(0.5)  # not started yet, or cut: what is missed is missed
            else:
                return
