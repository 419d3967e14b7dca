"""One watch that never goes blind in silence: list, watch, resume, and list again where it must.

Law (Kubernetes API concepts, "Efficient detection of changes"): a dropped watch resumes from the last resourceVersion
and misses nothing, only later; 410 Gone, an ERROR line or a server that lost its memory needs a new list, and what
came and went between is lost. Both are told as a gap: from when we last surely saw, to when we saw again.
A bookmark moves the resourceVersion on. The clock is ours, read when a line arrives.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from lameduck.core.instants import MILLISECOND
from lameduck.kube.api import ApiError, Json, Unreachable, path

SERVER_SIDE = 300
"""Seconds after which the server ends a watch in good order (timeoutSeconds)."""
SILENCE = 330.0
PAUSES = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
"""Seconds between attempts to reach the server again; the last one repeats."""
UNSEEN = 20 * MILLISECOND
"""A watch resumed within this time has been no gap."""

CATCHING_UP = 200 * MILLISECOND
"""What arrives this soon after a watch was resumed may have happened while it was down."""


class Change(StrEnum):
    """What a watch says of an object."""

    ADDED = "ADDED"
    MODIFIED = "MODIFIED"
    DELETED = "DELETED"
    LISTED = "LISTED"
    """It was there when the watch began or began anew."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One change of one object, at an instant (ns), and how much earlier it may have been (ns)."""

    resource: str
    change: Change
    object: Json
    at: int
    precision: int = 0


@dataclass(frozen=True, slots=True)
class Gap:
    """Blind from ``start`` to ``end`` (instants, ns); with ``relist``, what came and went meanwhile is lost."""

    resource: str
    start: int
    end: int
    relist: bool


class Source(Protocol):
    """What a watch needs of the API."""

    async def call(self, method: str, url: str, *, params: Mapping[str, str] | None = None) -> Json:
        """One request."""
        ...

    def lines(
        self, url: str, params: Mapping[str, str], silence: float
    ) -> AbstractAsyncContextManager[AsyncIterator[str]]:
        """A watch's lines."""
        ...


class Expired(Exception):
    """The resourceVersion is too old: a new list is needed."""


class Watch:
    """Watches one resource; ``told`` is called with every `Seen` and `Gap`, in order. `ready` is set after the list."""

    def __init__(
        self,
        api: Source,
        resource: str,
        namespace: str,
        told: Callable[[Seen | Gap], None],
        clock: Callable[[], int],
        *,
        selector: str = "",
        fields: str = "",
    ) -> None:
        self.resource = resource
        self.ready = asyncio.Event()
        self._api, self._url, self._told, self._clock = api, path(resource, namespace), told, clock
        self._narrow = {k: v for k, v in (("labelSelector", selector), ("fieldSelector", fields)) if v}
        self._known: dict[str, Json] = {}
        self._version = ""
        self._sight = 0
        """The last instant at which we surely saw everything."""
        self._blind_since: int | None = None
        self._late, self._resumed = 0, 0
        """How late an event may be that arrives right after the watch was resumed at this instant."""

    async def run(self) -> None:
        """Until cancelled. Raises `ApiError` where the server refuses for good (403, 404)."""
        attempt = 0
        while True:
            try:
                if not self._version:
                    await self._list()
                async for _ in self._follow():
                    attempt = 0
            except Expired:
                self._lose(relist=True)
            except ApiError as error:
                if error.status in {401, 403, 404, 405}:
                    raise
                self._lose(relist=error.status == 410)
            except Unreachable:
                self._lose(relist=False)
            else:
                self._lose(relist=False)
            await asyncio.sleep(PAUSES[min(attempt, len(PAUSES) - 1)] if attempt else 0)
            attempt += 1

    def _lose(self, *, relist: bool) -> None:
        """Sight is lost; it goes on from the last version, or from a new list."""
        if self._blind_since is None:
            self._blind_since = self._clock()
        if relist:
            self._version = ""

    async def _list(self) -> None:
        answer = await self._api.call("GET", self._url, params={**self._narrow, "resourceVersion": ""})
        now = self._clock()
        listed = {_key(each): each for each in answer.get("items", ())}
        precision = now - self._sight if self._sight else 0
        self._regain(now, relist=True)
        for key, gone in list(self._known.items()):
            if key not in listed or _uid(listed[key]) != _uid(gone):
                self._told(Seen(self.resource, Change.DELETED, gone, now, precision))
        self._known = listed
        self._version = str(answer["metadata"]["resourceVersion"])
        for each in listed.values():
            self._told(Seen(self.resource, Change.LISTED, each, now, precision))
        self.ready.set()

    async def _follow(self) -> AsyncIterator[None]:
        """The watch, line by line."""
        params = {
            **self._narrow,
            "watch": "1",
            "allowWatchBookmarks": "true",
            "resourceVersion": self._version,
            "timeoutSeconds": str(SERVER_SIDE),
        }
        async with self._api.lines(self._url, params, SILENCE) as lines:
            now = self._clock()
            if self._blind_since is not None:
                self._late, self._resumed = now - self._blind_since, now
            self._regain(now, relist=False)
            async for line in lines:
                if line:
                    self._take(json.loads(line))
                    yield
            self._sight = self._clock()

    def _take(self, event: Mapping[str, Any]) -> None:
        now = self._clock()
        kind, each = event.get("type"), event.get("object") or {}
        if kind == "ERROR":
            raise Expired(str(each.get("message")))
        self._version = str(each["metadata"]["resourceVersion"])
        self._sight = now
        if kind == "BOOKMARK":
            return
        change, key = Change(str(kind)), _key(each)
        if change is Change.DELETED:
            self._known.pop(key, None)
        else:
            self._known[key] = each
        self._told(Seen(self.resource, change, each, now, self._late if now - self._resumed < CATCHING_UP else 0))

    def _regain(self, now: int, *, relist: bool) -> None:
        start = self._blind_since
        if start is not None and self.ready.is_set() and (relist or now - start > UNSEEN):
            self._told(Gap(self.resource, start, now, relist))
        self._blind_since = None
        self._sight = now


def _key(each: Json) -> str:
    meta = each["metadata"]
    return f"{meta.get('namespace', '')}/{meta['name']}"


def _uid(each: Json) -> str:
    return str(each["metadata"].get("uid", ""))
