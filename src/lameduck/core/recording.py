"""What the engine keeps of every exchange: columns of numbers, with objects only as views.

Law: one row per planned request, written by the engine alone; a row is *settled* exactly once, when nothing of it will
change any more, and `settled` lists rows in that order, so that a writer can follow behind without locking. A row costs
at most 120 bytes. Instants are CLOCK_MONOTONIC nanoseconds; 0 in a column means "never happened".
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping

from lameduck.core.exchange import Exchange, Failure, Kind, Lane, Stage

LANES = tuple(Lane)

COLUMNS = (
    ("intended_start", "q"),
    ("actual_start", "q"),
    ("connected", "q"),
    ("sent", "q"),
    ("first_byte", "q"),
    ("finished", "q"),
    ("idle", "q"),
    ("connection", "I"),
    ("size", "I"),
    ("nth_on_connection", "I"),
    ("failure", "H"),
    ("local_port", "H"),
    ("status", "H"),
    ("peer", "H"),
    ("served_by", "H"),
    ("routed_to", "H"),
    ("lane", "B"),
    ("flags", "B"),
)
"""Name and type code of every column. `failure`, `peer`, `served_by` and `routed_to` index tables; 0 is "none"."""

CLOSE_ANNOUNCED = 1
"""Bit of `flags`: the answer said ``Connection: close`` unasked."""
RETRIED = 2
"""Bit of `flags`: a hop in front of the pods sent the request a second time, so that a first failure was masked."""


class Names:
    """A table of texts, each kept once. Index 0 is the empty text; at most 65,535 different ones are told apart."""

    __slots__ = ("_index", "texts")

    def __init__(self) -> None:
        self.texts: list[str] = [""]
        self._index: dict[str, int] = {"": 0}

    def index(self, text: str) -> int:
        """The number of a text, new or known; past 65,535 texts it is that of the last one, ``…``."""
        number = self._index.get(text)
        if number is None:
            if len(self.texts) >= 0xFFFF:
                return self._overflow()
            number = self._index[text] = len(self.texts)
            self.texts.append(text)
        return number

    @classmethod
    def of(cls, texts: Iterable[str]) -> Names:
        """A table that was stored, text by text in the order of their numbers."""
        names = cls()
        for text in texts:
            names.index(text)
        return names

    def _overflow(self) -> int:
        if self.texts[-1] != "…":
            self.texts.append("…")
            self._index["…"] = len(self.texts) - 1
        return self._index["…"]


class Recording:
    """All exchanges of one run, by sequence number.

    `names` holds peers and pods, `failures` the different failures (index 0: none). `closed_idle` counts kept-alive
    connections that were found closed when looked at before reuse: no failure of anybody's.
    """

    def __init__(self) -> None:
        self.intended_start = array("q")
        self.actual_start = array("q")
        self.connected = array("q")
        self.sent = array("q")
        self.first_byte = array("q")
        self.finished = array("q")
        self.idle = array("q")
        self.connection = array("I")
        self.size = array("I")
        self.nth_on_connection = array("I")
        self.failure = array("H")
        self.local_port = array("H")
        self.status = array("H")
        self.peer = array("H")
        self.served_by = array("H")
        self.routed_to = array("H")
        self.lane = array("B")
        self.flags = array("B")
        self._columns = tuple(getattr(self, name) for name, _ in COLUMNS)
        self.names = Names()
        self.failures: list[Failure | None] = [None]
        self._failure_index: dict[Failure, int] = {}
        self.settled = array("I")
        self.failed = 0
        self.closed_idle = 0
        self.bytes_sent = 0
        self.bytes_received = 0

    def __len__(self) -> int:
        return len(self.intended_start)

    def plan(self, intended_start: int, lane: Lane) -> int:
        """A new row for a request that is due now; returns its sequence number."""
        for column in self._columns:
            column.append(0)
        self.intended_start[-1] = intended_start
        self.lane[-1] = LANES.index(lane)
        return len(self.intended_start) - 1

    def settle(self, seq: int, finished: int, failure: Failure | None = None) -> None:
        """The row is complete: nothing of it will change any more."""
        self.finished[seq] = finished
        if failure is not None:
            self.failure[seq] = self.failure_index(failure)
            self.failed += 1
        self.settled.append(seq)

    def failure_index(self, failure: Failure) -> int:
        """The number of a failure in `failures`, new or known."""
        number = self._failure_index.get(failure)
        if number is None:
            number = self._failure_index[failure] = len(self.failures)
            self.failures.append(failure)
        return number

    def exchange(self, seq: int) -> Exchange:
        """One row as an object."""
        text = self.names.texts
        return Exchange(
            seq=seq,
            lane=LANES[self.lane[seq]],
            intended_start=self.intended_start[seq],
            actual_start=self.actual_start[seq] or None,
            connected=self.connected[seq] or None,
            sent=self.sent[seq] or None,
            first_byte=self.first_byte[seq] or None,
            finished=self.finished[seq] or None,
            connection=self.connection[seq],
            nth_on_connection=self.nth_on_connection[seq],
            idle=self.idle[seq],
            local_port=self.local_port[seq],
            peer=text[self.peer[seq]],
            status=self.status[seq],
            size=self.size[seq],
            close_announced=bool(self.flags[seq] & CLOSE_ANNOUNCED),
            served_by=text[self.served_by[seq]],
            routed_to=text[self.routed_to[seq]],
            failure=self.failures[self.failure[seq]],
        )

    def failed_exchanges(self) -> Iterator[Exchange]:
        """Every failed exchange, in the order of their numbers (NOT_SENT included)."""
        return (self.exchange(seq) for seq, number in enumerate(self.failure) if number)

    def add(self, exchange: Exchange) -> int:
        """Append a whole exchange (imports, tests, merged agents); its number here is returned."""
        seq = self.plan(exchange.intended_start, exchange.lane)
        for name in ("actual_start", "connected", "sent", "first_byte"):
            getattr(self, name)[seq] = getattr(exchange, name) or 0
        for name in ("connection", "nth_on_connection", "idle", "local_port", "status", "size"):
            getattr(self, name)[seq] = getattr(exchange, name)
        for name in ("peer", "served_by", "routed_to"):
            getattr(self, name)[seq] = self.names.index(getattr(exchange, name))
        self.flags[seq] = CLOSE_ANNOUNCED if exchange.close_announced else 0
        self.settle(seq, exchange.finished or 0, exchange.failure)
        return seq


def absorb(into: Recording, other: Recording, connections: int = 0) -> tuple[int, int]:
    """Append all rows of another recording, which is emptied: its columns go over one by one, to need no room twice.

    ``connections`` is added to its connection numbers. Returns the first row here and the one behind the last.
    """
    first = len(into)
    texts = array("H", map(into.names.index, other.names.texts))
    why = array("H", (0 if each is None else into.failure_index(each) for each in other.failures))
    for name, _ in COLUMNS:
        column = getattr(other, name)
        if name in {"peer", "served_by", "routed_to"}:
            getattr(into, name).extend(map(texts.__getitem__, column))
        elif name == "failure":
            into.failure.extend(map(why.__getitem__, column))
        elif name == "connection" and connections:
            into.connection.extend(number + connections if number else 0 for number in column)
        else:
            getattr(into, name).extend(column)
        del column[:]
    into.failed += other.failed
    into.closed_idle += other.closed_idle
    into.bytes_sent += other.bytes_sent
    into.bytes_received += other.bytes_received
    into.settled.extend(first + row for row in other.settled)
    return first, len(into)


def kept_open(recording: Recording, instants: Mapping[str, int]) -> dict[str, int] | None:
    """How many kept-alive connections were open to each pod at an instant (ns), by who answered on them.

    Counted is a connection that was made before and used, or being used, after that; None where nobody says who
    answered on one that was open then.
    """
    reuse, texts = LANES.index(Lane.REUSE), recording.names.texts
    spans: dict[int, tuple[int, int, int]] = {}
    rows = zip(
        recording.lane,
        recording.connection,
        recording.connected,
        recording.finished,
        recording.served_by,
        strict=True,
    )
    for lane, number, connected, finished, served in rows:
        if lane == reuse and number:
            _, last, pod = spans.get(number, (0, 0, 0))
            spans[number] = (connected, max(last, finished), served or pod)
    held = dict.fromkeys(instants, 0)
    for made, last, pod in spans.values():
        for name, at in instants.items():
            if made <= at <= last:
                if not pod:
                    return None
                held[name] += texts[pod] == name
    return held


def not_sent(detail: str, errno: int = 0, stage: Stage = Stage.CONNECT) -> Failure:
    """A failure that is ours: the request could not be sent at all."""
    return Failure(stage, Kind.NOT_SENT, errno, detail)
