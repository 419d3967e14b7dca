"""What can be seen of the traffic, by the best means that work here, and by worse ones when they stop working.

    connections: sock_diag, else /proc/net/tcp           short ones: destroy events, else PassiveOpens

Law: one failed read never ends a drain, it counts as traffic; some in a row change the means, and it is said.
"""

from __future__ import annotations

from lameduck_pod.connections import LISTEN, Connection
from lameduck_pod.procnet import PassiveOpens, ProcNet
from lameduck_pod.quiet import Look
from lameduck_pod.sockdiag import Destroyed, SockDiag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from typing import Any, TypeVar

    Means = TypeVar("Means")

TRIES = 5
"""Failed looks in a row before a means is given up."""
TABLES: Sequence[tuple[str, Callable[[], SockDiag | ProcNet]]] = (("sock_diag", SockDiag), ("/proc/net/tcp", ProcNet))
COUNTERS: Sequence[tuple[str, Callable[[], Destroyed | PassiveOpens]]] = (
    ("destroy events", Destroyed),
    ("PassiveOpens", PassiveOpens),
)


class Sensor:
    """Looks at the connections to `ports` (empty: to every port that is listened on from outside), but not to `own`.

    `tables` and `counters` are the means, best first; tests and `--without` leave some out.
    """

    def __init__(
        self,
        ports: Collection[int] = (),
        own: Collection[int] = (),
        tables: Sequence[tuple[str, Callable[[], Any]]] = TABLES,
        counters: Sequence[tuple[str, Callable[[], Any]]] = COUNTERS,
    ) -> None:
        self.ports, self.own = frozenset(ports), frozenset(own)
        self.serving = set(ports)
        self.tables, self.counters = list(tables), list(counters)
        self.problems: list[str] = []
        self.failed = 0
        self.table_name, self.table = self._best(self.tables)
        self.counter_name, self.counter = self._best(self.counters)

    @property
    def how(self) -> str:
        """The means in use: ``sock_diag and destroy events``."""
        return " and ".join(name for name in (self.table_name, self.counter_name) if name) or "nothing"

    @property
    def blind(self) -> bool:
        """Whether nothing at all can be seen."""
        return self.table is None and self.counter is None

    def close(self) -> None:
        """Gives sockets back."""
        for means in (self.table, self.counter):
            if means is not None:
                means.close()

    def listeners(self) -> list[int]:
        """Ports that are listened on from outside; [] where that cannot be seen."""
        try:
            rows = self.table.all() if self.table else []
        except OSError:
            return []
        return sorted({row.port for row in rows if row.state == LISTEN and not _loopback(row.here)} - self.own)

    def look(self, reported: int | None = None) -> Look:
        """What has happened since the last look."""
        missed = ["nothing can be seen here"] if self.blind else []
        rows: list[Connection] = []
        ended: list[Connection] = []
        opened = 0
        try:
            if self.table:
                rows = self.table.all(next(iter(self.ports)) if len(self.ports) == 1 else 0)
            self.failed = 0
        except (OSError, ValueError) as e:
            missed.append(f"a look failed: {e}")
            self._table_failed(e)
        try:
            if isinstance(self.counter, PassiveOpens):
                opened = self.counter.take()
            elif self.counter:
                ended, lost = self.counter.take()
                missed += ["more connections ended than could be followed"] * lost
        except (OSError, ValueError) as e:
            missed.append(f"a count failed: {e}")
        listening, backlog = self._listening(rows)
        serving = [row for row in rows if row.port in self.serving and row.state != LISTEN]
        return Look(
            rows=tuple(serving),
            ended=tuple(row for row in ended if not row.port or row.port in self.serving),
            opened=opened,
            backlog=backlog,
            listening=listening or self.table is None,
            reported=reported,
            missed="; ".join(missed),
        )

    def _listening(self, rows: list[Connection]) -> tuple[bool, int]:
        listening, backlog = False, 0
        for row in rows:
            if row.state != LISTEN or row.port in self.own:
                continue
            if not self.ports and not _loopback(row.here):
                self.serving.add(row.port)
            if row.port in self.serving:
                listening, backlog = True, backlog + row.rqueue
        return listening, backlog

    def _table_failed(self, error: Exception) -> None:
        self.failed += 1
        if self.failed < TRIES or not self.table:
            return
        self.failed = 0
        self.problems.append(f"{self.table_name} failed {TRIES} times in a row ({error})")
        self.table.close()
        self.tables.pop(0)
        self.table_name, self.table = self._best(self.tables)

    def _best(self, means: list[tuple[str, Callable[[], Means]]]) -> tuple[str, Means | None]:
        while means:
            name, make = means[0]
            try:
                return name, make()
            except (OSError, ValueError) as e:
                self.problems.append(f"{name} does not work here ({e})")
                means.pop(0)
        return "", None


def _loopback(address: bytes) -> bool:
    return address[0] == 127 if len(address) == 4 else address == bytes(15) + b"\x01"
