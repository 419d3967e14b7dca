"""Somebody else's load in the place of the engine: it is awaited or started, left alone, ended, and then read.

Law: nothing of it is made up. Its file is read once the run is over and laid on the run's clock; only what lies within
the run is taken over. Whatever goes wrong with it ends no observation: the error is kept for the end (`error`), since
a run that was watched for minutes is worth keeping. A command that we started ends with the run: it is asked as Ctrl-C
would ask it, then told by SIGTERM, then killed, with all its children.
"""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from lameduck.core.errors import EnvironmentFault, UsageError
from lameduck.core.exchange import Exchange
from lameduck.core.foreign import Foreign
from lameduck.core.instants import SECOND, human, to_seconds
from lameduck.core.recording import Recording
from lameduck.importing import exchanges_from, on_run_clock
from lameduck.importing.entry import Imported
from lameduck.load.watch import BEAT, SelfWatch

BEGIN_WITHIN = 120.0
"""Seconds until a load must have begun."""
LINGER = 2.0
"""Seconds that it goes on after the last exposed window, so that a buffered file covers that."""
ASKED, TOLD = 15.0, 5.0
"""Seconds between the Ctrl-C and SIGTERM, and between that and SIGKILL."""
SETTLES = 30.0
"""Seconds that a file which we do not end may take to cover the run."""


@dataclass(frozen=True, slots=True)
class Import:
    """What the user brings: a kind of `lameduck.importing.KINDS`, a file, and perhaps the command that writes it.

    Without a kind nothing is read now: a file may be imported later.
    """

    kind: str
    file: Path
    """``Path()`` for one in the run's folder."""
    command: str = ""
    """With ``{out}``, ``{host}``, ``{port}`` and ``{address}`` to be replaced; "" where somebody else starts it."""
    rate: float = 0.0
    """What it promises to hold, in requests per second; 0 where nothing was promised."""


def place(command: str, out: Path, address: str) -> list[str]:
    """The words of a load command with its places filled. Raises `UsageError` for one that cannot be split."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise UsageError(f"--load-command cannot be read: {error}") from error
    if not words:
        raise UsageError("--load-command is empty")
    places = {"{out}": str(out), "{host}": host, "{port}": port, "{address}": f"{host}:{port}"}
    for mark, value in places.items():
        words = [word.replace(mark, value) for word in words]
    return words


class ForeignLoad:
    """Runs beside the proof in the engine's place. `recording` is empty until `run` is over.

    ``entered`` tells how many connections have come in, where that is seen (the local cluster's doorway).
    """

    def __init__(
        self,
        wanted: Import,
        address: str,
        folder: Path,
        *,
        entered: Callable[[], int | None] | None = None,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self.recording = Recording()
        self.watch = SelfWatch(self.recording)
        self.error: UsageError | EnvironmentFault | None = None
        self.foreign: Foreign | None = None
        if wanted.command and wanted.file == Path():
            wanted = replace(wanted, file=folder / f"load.{wanted.kind}")
        self._wanted, self._address, self._folder = wanted, address, folder
        self._entered, self._clock = entered, clock
        self._child: asyncio.subprocess.Process | None = None
        self._size = _size(wanted.file)
        self._stopped = asyncio.Event()
        self._begun = 0
        self._left = ""
        self._anchor = self._offset()

    @property
    def output(self) -> Path:
        """Where a command's own output goes."""
        return self._folder / "load.log"

    async def begin(self) -> None:
        """Start the command, if there is one, and return once requests come.

        Raises `UsageError` or `EnvironmentFault` where none do.
        """
        if self._wanted.command:
            await self._start()
        elif self._came() is None:
            return  # nobody can tell: the file will
        deadline = self._clock() + int(BEGIN_WITHIN * SECOND)
        while not self._comes():
            self._look_at_child()
            if self._clock() > deadline:
                who = "the load command" if self._child else "nobody"
                raise EnvironmentFault(
                    f"{who} sent nothing to {self._address} within {BEGIN_WITHIN:.0f} s{self._tail()}"
                )
            await asyncio.sleep(0.1)

    async def run(self, *, bounded: bool = False) -> None:
        """Until `stop`, and then as long as ending and reading the load takes; nobody else can bound it."""
        assert not bounded
        self._begun = self.watch.started = self._clock()
        while not self._stopped.is_set():
            self.watch.beat(self._clock())
            self._notice_end()
            await asyncio.sleep(to_seconds(BEAT))
        ended = self.watch.ended = self._clock()
        try:
            if self._child is not None:
                await asyncio.sleep(LINGER)
                await self.end()
            if self._wanted.kind:
                self._take(await self._read(ended), ended)
            else:
                self.foreign = Foreign("", "")
        except (UsageError, EnvironmentFault) as error:
            self.error = error

    def stop(self) -> None:
        """The run is over; safe to call at any time."""
        self._stopped.set()

    def told(self) -> str:
        """How it goes, in words, as far as that is seen before its file is read."""
        who = f"{self._wanted.kind}'s load" if self._wanted.kind else "another tool's load"
        came = self._came()
        return who if came is None else f"{who}, {came:,} connections"

    @property
    def stalls(self) -> Sequence[tuple[int, int]]:
        """When this process stood still: (start, length) in ns."""
        return self.watch.stalls

    @property
    def ended(self) -> int:
        """The instant at which it was stopped."""
        return self.watch.ended

    def counts(self) -> tuple[int, int]:
        """Nothing is known before its file is read."""
        return len(self.recording), self.recording.failed

    def open_connections(self) -> Counter[str] | None:
        """Nobody knows."""
        return None

    async def end(self) -> None:
        """End the command and its children. Safe to call twice."""
        child = self._child
        if child is None:
            return
        for number, patience in ((signal.SIGINT, ASKED), (signal.SIGTERM, TOLD), (signal.SIGKILL, None)):
            try:
                os.killpg(child.pid, number)
            except ProcessLookupError:
                break
            try:
                async with asyncio.timeout(patience):
                    await self._gone(child)
                break
            except TimeoutError:
                continue
        self._child = None

    # the command

    async def _start(self) -> None:
        words = place(self._wanted.command, self._wanted.file, self._address)
        try:
            with self.output.open("wb") as output:
                self._child = await asyncio.create_subprocess_exec(
                    *words, stdin=asyncio.subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
                )
        except OSError as error:
            raise EnvironmentFault(f"the load command cannot be started: {words[0]}: {error.strerror}") from error

    async def _gone(self, child: asyncio.subprocess.Process) -> None:
        """Until the command and whoever it started have ended: only then is the file whole."""
        await child.wait()
        while _alive(child.pid):
            await asyncio.sleep(0.05)

    def _comes(self) -> bool:
        came = self._came()
        return _size(self._wanted.file) > self._size if came is None else came > 0

    def _came(self) -> int | None:
        return self._entered() if self._entered is not None else None

    def _look_at_child(self) -> None:
        child = self._child
        if child is not None and child.returncode is not None:
            raise EnvironmentFault(f"the load command ended with exit code {child.returncode}{self._tail()}")

    def _notice_end(self) -> None:
        """A load that ends before the run does is no reason to stop watching; it is said, and a gate will fall."""
        if self._child is not None and self._child.returncode is not None and not self._left:
            after = human(self._clock() - self._begun)
            self._left = f"the load command ended by itself after {after}, with exit code {self._child.returncode}"

    def _tail(self) -> str:
        if not self._wanted.command:
            return ""
        try:
            lines = self.output.read_text("utf-8", "replace").strip().splitlines()
        except OSError:
            lines = []
        return f"; its last words: {' / '.join(lines[-3:])}" if lines else "; it printed nothing"

    # the file

    def _offset(self) -> int:
        """Wall-clock minus monotonic time (ns)."""
        return time.time_ns() - self._clock()

    async def _read(self, ended: int) -> Imported:
        """The file, once it covers the run or has had its time; what we ended ourselves is whole."""
        patience = self._clock() + (0 if self._wanted.command else int(SETTLES * SECOND))
        while True:
            size = _size(self._wanted.file)
            try:
                imported = await asyncio.to_thread(exchanges_from, self._wanted.file, self._wanted.kind)
            except UsageError:
                if self._clock() >= patience:
                    raise
            else:
                last = max(each.intended_start for each in imported.exchanges) - self._anchor
                if last >= ended or self._clock() >= patience:
                    return imported
            while _size(self._wanted.file) == size and self._clock() < patience:
                await asyncio.sleep(0.5)

    def _take(self, imported: Imported, ended: int) -> None:
        """Move what lies within the run into the recording."""
        if self._left:
            imported = replace(imported, losses=[*imported.losses, self._left])
        error = abs(self._offset() - self._anchor) if self._wanted.command else None
        inside, self.foreign = _within(
            imported, self._wanted, self._begun, ended, self._begun + self._anchor, clock_error=error
        )
        for each in inside:
            self.recording.add(each)


def laid_over(wanted: Import, started: int, ended: int, wall_anchor: int) -> tuple[Recording, Foreign]:
    """A file's requests on the clock of a run that lasted from ``started`` to ``ended`` (instants, ns).

    Raises `UsageError` for a file that cannot be read, and for one that holds nothing of the run.
    """
    inside, foreign = _within(exchanges_from(wanted.file, wanted.kind), wanted, started, ended, wall_anchor)
    recording = Recording()
    for each in inside:
        recording.add(each)
    return recording, foreign


def _within(
    imported: Imported, wanted: Import, started: int, ended: int, wall_anchor: int, clock_error: int | None = None
) -> tuple[list[Exchange], Foreign]:
    moved = on_run_clock(imported.exchanges, wall_anchor, started)
    inside = [each for each in moved if started <= each.intended_start <= ended]
    if not inside:
        first, last = moved[0].intended_start, moved[-1].intended_start
        shift = wall_anchor - started
        raise UsageError(
            f"none of the {len(moved):,} requests in {wanted.file} ({_span(first + shift, last + shift)}) lies within "
            f"the run ({_span(wall_anchor, ended + shift)}): is it this run's load, and its clock right?"
        )
    return inside, Foreign(
        kind=wanted.kind,
        source=str(wanted.file),
        command=wanted.command,
        losses=tuple(imported.losses),
        rate=wanted.rate,
        precision=imported.precision,
        clock_error=clock_error,
        client_view=imported.client_view,
        hides_retries=imported.hides_retries,
        masked=imported.masked,
        outside=len(moved) - len(inside),
    )


def _span(start: int, end: int) -> str:
    first, last = (datetime.fromtimestamp(at / SECOND, UTC) for at in (start, end))
    return f"{first:%Y-%m-%d %H:%M:%S} to {last:%H:%M:%S} UTC"


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0


def _alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True
