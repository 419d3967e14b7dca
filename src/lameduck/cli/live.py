"""The live view of a proof: rate, failures by kind, pods and their stages, progress; lines when not on a terminal."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from lameduck.core.instants import SECOND, human
from lameduck.proving import Progress, Watcher

QUIET_LINE_EVERY = 5 * SECOND
STAGES = {
    "starting": "cyan",
    "not ready": "yellow",
    "ready": "green",
    "terminating": "yellow",
    "stopping": "magenta",
    "exited": "red",
    "gone": "dim",
}


@contextmanager
def live(console: Console, *, quiet: bool) -> Iterator[Watcher]:
    """A watcher for `prove`: a picture on a terminal, a line per phase and per five seconds elsewhere."""
    if quiet:
        yield lambda _: None
    elif console.is_terminal:
        picture = Picture()
        with Live(console=console, auto_refresh=False, transient=True) as shown:

            def draw(progress: Progress) -> None:
                shown.update(picture.draw(progress), refresh=True)

            yield draw
    else:
        yield Lines().line


class Lines:
    """Progress in lines: one when a phase begins, and one every five seconds."""

    def __init__(self) -> None:
        self._phase = ""
        self._next = 0

    def line(self, progress: Progress) -> None:
        """Print a line if one is due."""
        if progress.phase == self._phase and progress.now < self._next:
            return
        self._phase, self._next = progress.phase, progress.now + QUIET_LINE_EVERY
        since = human(progress.now - progress.started) if progress.started else "0 s"
        stages = Counter(pod.stage for pod in progress.pods if pod.stage != "gone")
        pods = ", ".join(f"{count} {stage}" for stage, count in stages.items())
        load = progress.load or f"{progress.sent:,} requests, {progress.failed:,} failed"
        print(f"[{since}] {progress.phase}: {load}; pods: {pods or 'none'}", file=sys.stderr)


class Picture:
    """Progress as a picture that is drawn over itself."""

    def __init__(self) -> None:
        self._before = (0, 0)
        self._rate = 0.0

    def draw(self, progress: Progress) -> Group:
        """The picture now."""
        self._measure(progress)
        return Group(self._title(progress), _failures(progress), _pods(progress))

    def _measure(self, progress: Progress) -> None:
        at, count = self._before
        if progress.now - at >= SECOND:
            self._rate = (progress.sent - count) * SECOND / (progress.now - at) if at else 0.0
            self._before = (progress.now, progress.sent)

    def _title(self, progress: Progress) -> Text:
        since = human(progress.now - progress.started) if progress.started else "0 s"
        asked = progress.rollouts_asked
        bar = "━" * (24 * progress.rollouts_done // asked) if asked else ""
        return Text.assemble(
            (f" {progress.phase} ", "bold reverse"),
            f"  {since}  ",
            (bar, "green"),
            ("━" * (24 - len(bar)), "dim"),
            f"  {progress.rollouts_done}/{asked} done",
            f"   {progress.sent:,} requests, {self._rate:,.0f}/s" if progress.started and not progress.load else "",
        )


def _failures(progress: Progress) -> Text:
    """Failures by kind, counted over the failure table: cheap at any number of exchanges."""
    recording = progress.recording
    if progress.load:
        return Text(f" {progress.load}: what it met is read at the end")
    if not progress.failed:
        return Text(" no failure so far", style="green")
    kinds: Counter[str] = Counter()
    for number, failure in enumerate(recording.failures):
        if failure is not None:
            kinds[failure.kind.value.replace("_", " ")] += recording.failure.count(number)
    shown = "   ".join(f"{count:,} {kind}" for kind, count in kinds.most_common())
    return Text(f" {progress.failed:,} failed  {shown}", style="bold red")


def _pods(progress: Progress) -> Table:
    table = Table.grid(padding=(0, 2))
    for pod in progress.pods:
        style = STAGES.get(pod.stage, "")
        table.add_row(
            Text(f" {pod.name}"), Text(pod.stage, style=style), human(progress.now - pod.since), Text(pod.detail)
        )
    return table
