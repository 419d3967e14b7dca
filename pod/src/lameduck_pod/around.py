"""What the ASGI and the WSGI middleware share: the application inside, the layer, and what can be said about it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, TypeVar

from lameduck_pod import settings
from lameduck_pod.layer import Hook, Layer

A = TypeVar("A")


class Around(Generic[A]):
    """An application around another. Times are seconds; what is not said comes from ``LAMEDUCK_*``.

    `least`: never stop earlier after the signal (3); `quiet`: stop after so long without a request (1); `most`: never
    stop later (20, or what `grace`, the pod's grace period, leaves). `readiness`: "keep" or "fail" `readiness_path`
    while lame. `status_path`: where the layer tells its state (JSON; ``/metrics`` below it OpenMetrics). `ignore`:
    paths that do not count as traffic. Hooks are called from a thread of their own. Raises ValueError for settings
    that cannot be used.
    """

    def __init__(
        self,
        app: A,
        *,
        least: float | None = None,
        quiet: float | None = None,
        most: float | None = None,
        grace: float | None = None,
        readiness: str | None = None,
        readiness_path: str | None = None,
        status_path: str | None = None,
        ignore: Sequence[str] | None = None,
        on_lame_duck: Hook | None = None,
        on_drained: Hook | None = None,
    ) -> None:
        self.app = app
        said = settings.read(least, quiet, most, grace, readiness, readiness_path, status_path, ignore)
        self.layer = Layer(said, on_lame_duck, on_drained)
