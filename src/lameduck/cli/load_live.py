"""What is seen of a load while it runs: one line of progress, and one of failures when there are any."""

from __future__ import annotations

import time
from collections import Counter, deque
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from lameduck.core.instants import to_seconds
from lameduck.report.load_text import precise

if TYPE_CHECKING:
    from lameduck.core.exchange import Kind
    from lameduck.core.plan import TrafficPlan
    from lameduck.load.crew import Word

RECENT = 8
"""Words that the shown rate and response time are taken from (about two seconds)."""


class LiveView:
    """Redrawn with each word of a worker; silent where standard error is not a terminal."""

    def __init__(self, plan: TrafficPlan, url: str, started: int, *, on: bool) -> None:
        self._console = Console(stderr=True, highlight=False)
        self._plan, self._url, self._started = plan, url, started
        self._live = Live(console=self._console, transient=True, auto_refresh=False) if on else None
        if not self._console.is_terminal:
            self._live = None
        self._settled = self._stalls = self._in_flight = 0
        self._kinds: Counter[Kind] = Counter()
        self._recent: deque[tuple[int, Word]] = deque(maxlen=RECENT)

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def update(self, word: Word | None) -> None:
        """Take in a worker's word, None for the passing of time."""
        if self._live is None:
            return
        if word is not None:
            self._settled += word.settled
            self._stalls += word.stalls
            self._in_flight = word.in_flight
            self._kinds.update(word.kinds)
            self._recent.append((time.monotonic_ns(), word))
        self._live.update(self._draw(), refresh=True)

    def _draw(self) -> Group:
        passed = max(0, time.monotonic_ns() - self._started)
        line = Table.grid(padding=(0, 2, 0, 0))
        done = min(passed, self._plan.duration)
        line.add_row(
            ProgressBar(total=self._plan.duration, completed=done, width=24),
            f"{to_seconds(done):.0f} of {to_seconds(self._plan.duration):.0f} s",
            f"{self._settled:,} answered" if not self._kinds else f"{self._settled:,} ended",
            f"{self._rate():,.0f}/s",
            self._times(),
            f"{self._in_flight:,} in flight",
        )
        rows: list[RenderableType] = [Text(f"{self._url}", style="dim"), line]
        if self._kinds:
            failed = ", ".join(f"{kind.value.replace('_', ' ')} {n:,}" for kind, n in self._kinds.most_common())
            rows.append(Text(f"{self._kinds.total():,} failed: {failed}", style="red"))
        if self._stalls:
            rows.append(Text(f"the engine itself stalled {self._stalls} times", style="yellow"))
        return Group(*rows)

    def _rate(self) -> float:
        if len(self._recent) < 2:
            return 0.0
        span = self._recent[-1][0] - self._recent[0][0]
        return sum(word.settled for _, word in list(self._recent)[1:]) / to_seconds(span)

    def _times(self) -> str:
        times = sorted(time for _, word in self._recent for time in word.times)
        return f"p50 {precise(times[len(times) // 2])}, p99 {precise(times[len(times) * 99 // 100])}" if times else ""
