"""The lame-duck time: publishes "draining", and looks at the traffic until `quiet.step` says that it is gone.

Shared by `drain`, its sidecar and `run`. The shell around it waits until `due` and calls `look`.
"""

from __future__ import annotations

import time

from lameduck_pod import processes, quiet
from lameduck_pod.connections import LISTEN
from lameduck_pod.draining import Publisher
from lameduck_pod.sensor import Sensor
from lameduck_pod.spans import SECOND, human

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lameduck_pod.journal import Journal

EVERY = SECOND // 10
"""From look to look. The kernel's own time stamps make a look exact however rare it is; only the reaction waits."""
SHARE = 5
"""And no more than one part in so many of a core: the server needs it, and 10,000 connections take 60 ms to look at."""


class Watch:
    """`make_sensor` is called when the watching starts: its buffers must not be full of history."""

    def __init__(
        self, rules: quiet.Rules, make_sensor: Callable[[], Sensor], journal: Journal, token: str = ""
    ) -> None:
        self.rules, self.make_sensor, self.journal, self.token = rules, make_sensor, journal, token
        self.due: int | None = None
        self.sensor: Sensor | None = None
        self.state: quiet.State | None = None
        self.publisher: Publisher | None = None
        self.said = 0

    def start(self, now: int, until: int, watch: bool = True) -> None:
        """Publishes until `until` (ns); watches too when `watch`."""
        self.stop()
        try:
            self.publisher = Publisher(self.journal.pod, self.token, until)
        except OSError as e:
            self.journal.write(
                "warning", f"draining is not published here ({e.strerror}): somebody else in this pod does?"
            )
        self.due = now
        if watch:
            self.sensor, self.state, self.said = self.make_sensor(), quiet.begin(now), 0
            message = f"watching {self._where(self.sensor)} by {self.sensor.how}"
            facts = {"means": self.sensor.how, "ports": sorted(self.sensor.ports) or self.sensor.listeners()}
            self.journal.write("watching", message, **facts)
            self._warn(self.sensor)

    def look(self, now: int) -> quiet.Left | None:
        """One look; the reason to leave or None."""
        reported = self.publisher.poll() if self.publisher else None
        began = time.thread_time_ns()
        left = self._look(now, reported)
        self.due = now + max(EVERY, SHARE * (time.thread_time_ns() - began))
        return left

    def _look(self, now: int, reported: int | None) -> quiet.Left | None:
        if self.sensor is None or self.state is None:
            return None
        self.state, left = quiet.step(self.rules, self.state, self.sensor.look(reported), now)
        self._warn(self.sensor)
        if left and left.reason == "nobody listens" and self.sensor.ports:
            here = ", ".join(map(str, self.sensor.listeners())) or "nothing"
            wanted = ", ".join(map(str, sorted(self.sensor.ports)))
            return left.but(why=f"{left.why}. --port {wanted}: right? Listened on here: {here}")
        return left

    def stop_looking(self) -> None:
        """The decision is made; publishing goes on."""
        if self.sensor:
            self.sensor.close()
        self.sensor = None

    def stop(self, released: bool = False) -> None:
        """No more looks. Who has heard "draining" stays lame until its end, unless `released`."""
        self.due = None
        if self.publisher:
            self.publisher.release() if released else self.publisher.close()
        if self.sensor:
            self.sensor.close()
        self.publisher = self.sensor = self.state = None

    def _where(self, sensor: Sensor) -> str:
        ports = sorted(sensor.ports) or sensor.listeners()
        said = ", ".join(map(str, ports)) or "whatever is listened on"
        return f"port{'s' * (len(ports) > 1)} {said}" if ports else said

    def _warn(self, sensor: Sensor) -> None:
        for problem in sensor.problems[self.said :]:
            self.journal.write("warning", f"{problem}; using {sensor.how}")
        self.said = len(sensor.problems)


def describe(pids: Sequence[int], hold: int = quiet.Rules.hold) -> list[str]:
    """Each process and what it holds: ``gunicorn … (pid 7): 2 connections, 1 busy (…)``; the first 20."""
    sensor = Sensor(counters=())
    try:
        rows = [row for row in sensor.table.all() if row.state != LISTEN] if sensor.table else []
    except OSError:
        rows = []
    sensor.close()
    found = []
    for pid in pids[:20]:
        inodes = processes.sockets(pid) if rows else set()
        held = [row for row in rows if row.inode in inodes]
        busy = quiet.busy_clients(held, hold)
        what = f": {len(held)} connection{'s' * (len(held) > 1)}" if held else ""
        if busy:
            oldest = max(busy, key=lambda b: b.age)
            what += f", {len(busy)} busy (oldest: {oldest.client}, {oldest.why}, {human(oldest.age)})"
        stuck = " [waits for a device or a file system]" if processes.state(pid) == "D" else ""
        found.append(processes.title(pid) + stuck + what)
    return found + ([f"and {len(pids) - 20} more"] if len(pids) > 20 else [])
