"""One timer that follows a state's `due`: the wait in *await → step → perform*."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Timer:
    """Calls `fire` at the instant it was last set to; setting it again replaces the instant, None unsets it."""

    def __init__(self, clock: Callable[[], int], fire: Callable[[], None]) -> None:
        self._clock = clock
        self._fire = fire
        self._at: int | None = None
        self._handle: asyncio.TimerHandle | None = None

    def set(self, at: int | None) -> None:
        """Fire at this instant (ns), or not at all."""
        if at == self._at and self._handle is not None:
            return
        self.cancel()
        self._at = at
        if at is not None:
            delay = max(0, at - self._clock()) / 1e9
            self._handle = asyncio.get_running_loop().call_later(delay, self._due)

    def cancel(self) -> None:
        """Forget it."""
        if self._handle is not None:
            self._handle.cancel()
        self._handle, self._at = None, None

    def _due(self) -> None:
        at, self._handle, self._at = self._at, None, None
        if at is not None and at > self._clock():  # the loop's clock is coarser than ours
            self.set(at)
        else:
            self._fire()
