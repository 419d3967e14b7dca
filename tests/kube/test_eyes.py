"""Whoever waits for a change of the workload can be called away at any moment: Ctrl-C is a cancellation."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from lameduck.core.instants import SECOND
from lameduck.kube.eyes import Eyes
from lameduck.kube.workload import PodShape


@pytest.mark.parametrize("turns", range(6))
def test_a_cancellation_that_meets_a_change_is_not_lost(turns: int) -> None:
    async def scene() -> None:
        checked = cast(Any, SimpleNamespace(shape=PodShape(container="app", has_readiness=True), workload={}))
        eyes = Eyes(cast(Any, None), checked, lambda _: None, lambda: 0)
        waiting = asyncio.create_task(eyes.until(lambda: False, 3600 * SECOND))
        await asyncio.sleep(0.01)
        eyes._changed.set()
        for _ in range(turns):  # of the loop, between the change and the cancellation
            await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting], timeout=0.5)
        assert waiting.cancelled()

    asyncio.run(scene())
