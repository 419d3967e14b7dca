"""The run file: everything of one run in one SQLite database, readable by every tool, surviving a crash.

Law (docs/verdict.md, "Run file"): a writer thread follows behind the engine and commits every half second: successes as
packed column chunks, failures also as rows, observations as rows. ``kill -9`` may lose the last second, and the file
says where it ends. Secrets never enter: no header value, no cookie, no body is stored.
"""

from __future__ import annotations

import json
import os
import queue
import secrets
import sqlite3
import sys
import threading
import time
import zlib
from array import array
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

from lameduck.core.errors import EnvironmentFault, UsageError
from lameduck.core.exchange import Behind, Failure, Kind, Lane, Stage
from lameduck.core.foreign import Foreign
from lameduck.core.plan import (
    ArrivalProcess,
    BodyExpectation,
    Disruption,
    DisruptionPlan,
    Plan,
    RequestShape,
    SocketPlan,
    TrafficPlan,
)
from lameduck.core.proof import Stall
from lameduck.core.recording import COLUMNS, Names, Recording
from lameduck.core.run import ClusterFacts, Run
from lameduck.core.timeline import Event, Milestone, Observation

FORMAT = 1
COMMIT_EVERY = 0.5
"""Seconds."""
MOST_ROWS = 50_000
"""In one chunk: a chunk is put together in memory."""

_SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE name (id INTEGER PRIMARY KEY, text TEXT NOT NULL);
CREATE TABLE failure (id INTEGER PRIMARY KEY, stage TEXT, kind TEXT, errno INTEGER, detail TEXT, behind TEXT);
CREATE TABLE chunk (id INTEGER PRIMARY KEY, rows INTEGER NOT NULL, data BLOB NOT NULL);
CREATE TABLE failed (
  seq INTEGER PRIMARY KEY, lane TEXT, stage TEXT, kind TEXT, errno INTEGER, detail TEXT, status INTEGER,
  intended_start INTEGER, actual_start INTEGER, connected INTEGER, sent INTEGER, first_byte INTEGER, finished INTEGER,
  connection INTEGER, nth_on_connection INTEGER, local_port INTEGER, peer TEXT, served_by TEXT, routed_to TEXT);
CREATE TABLE observation (
  id INTEGER PRIMARY KEY, at INTEGER NOT NULL, what TEXT NOT NULL, subject TEXT NOT NULL, precision INTEGER,
  source TEXT, detail TEXT);
"""


_FAILED_ROW = (
    "status", "intended_start", "actual_start", "connected", "sent", "first_byte", "finished", "connection",
    "nth_on_connection", "local_port", "peer", "served_by", "routed_to",
)  # fmt: skip
"""The columns of `failed` after the failure itself, in order; each is an attribute of an exchange."""


def runs_home() -> Path:
    """Where runs are kept: ``$XDG_STATE_HOME/lameduck/runs``."""
    state = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(state) / "lameduck" / "runs"


def new_run_dir(asked: Path | None = None) -> Path:
    """A folder of this run's own. Raises `EnvironmentFault` when it cannot be made, `UsageError` when it is in use."""
    path = asked or runs_home() / f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(3)}"
    try:
        path.mkdir(parents=True, exist_ok=True)
        if (path / "run.db").exists():
            raise UsageError(f"{path} already holds a run; name another folder with --run-dir")
    except OSError as error:
        raise EnvironmentFault(f"cannot make the run's folder {path}: {error.strerror}; try --run-dir") from error
    return path


class RunWriter:
    """Writes one run's file behind the engine's back, from a thread of its own.

    With ``anew`` the file is there already, and these exchanges come in the place of those that it holds.
    `error` is set when the file can no longer be written (a full disk): the run goes on, and its owner says so.
    """

    def __init__(self, path: Path, recording: Recording, meta: Mapping[str, Any], *, anew: bool = False) -> None:
        self.path = path
        self.error: str = ""
        self._recording = recording
        self._observations: queue.SimpleQueue[Observation] = queue.SimpleQueue()
        self._meta: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        self._written = self._names = self._failures = 0
        self._stop, self._anew = threading.Event(), threading.Event()
        for key, value in (meta if anew else {"format": FORMAT, "complete": False, **meta}).items():
            self._meta.put((key, value))
        self._database = self._create("" if anew else _SCHEMA)
        if anew:
            self.rewrite()
        self._thread = threading.Thread(target=self._follow, name="run-writer", daemon=True)
        self._thread.start()

    def _create(self, schema: str) -> sqlite3.Connection:
        try:
            database = sqlite3.connect(self.path, check_same_thread=False, isolation_level=None)
            database.executescript(f"PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; BEGIN; {schema} COMMIT;")
        except sqlite3.Error as error:
            raise EnvironmentFault(f"cannot write the run file {self.path}: {error}; try --run-dir") from error
        return database

    def observe(self, observation: Observation) -> None:
        """Keep one observation. May be called from any thread."""
        self._observations.put(observation)

    def note(self, key: str, value: Any) -> None:
        """Keep one fact of the run (JSON types)."""
        self._meta.put((key, value))

    def rewrite(self) -> None:
        """Write every row again, with what was learned after it was written. Only once the load has ended."""
        self._anew.set()

    def close(self, *, complete: bool = True) -> None:
        """Write what is left and make the run one file. ``complete`` says that nothing is missing."""
        if complete:
            self.note("complete", True)
        self._stop.set()
        self._thread.join()
        with closing(self._database):
            if not self.error:
                self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
                self._database.execute("PRAGMA journal_mode=DELETE")

    def _follow(self) -> None:
        while not self._stop.wait(COMMIT_EVERY):
            self._commit()
        self._commit()

    def _commit(self) -> None:
        if self.error:
            return
        try:
            self._database.execute("BEGIN")
            self._write()
            self._database.execute("COMMIT")
        except (sqlite3.Error, OSError) as error:
            self.error = f"the run file {self.path} can no longer be written: {error}"

    def _write(self) -> None:
        run = self._database.execute
        if self._anew.is_set():
            self._anew.clear()
            self._written = self._names = self._failures = 0
            for table in ("chunk", "failed", "name", "failure"):
                run(f"DELETE FROM {table}")  # noqa: S608 - from the list above
        recording, upto = self._recording, len(self._recording.settled)
        rows = recording.settled[self._written : upto]
        self._write_tables()
        for first in range(0, len(rows), MOST_ROWS):
            part = rows[first : first + MOST_ROWS]
            run("INSERT INTO chunk(rows, data) VALUES (?, ?)", (len(part), _pack(recording, part)))
        if rows:
            self._database.executemany(
                "INSERT OR REPLACE INTO failed VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
                (_failed_row(recording, seq) for seq in rows if recording.failure[seq]),
            )
            self._written = upto
        for seen in _drain(self._observations):
            run(
                "INSERT INTO observation(at, what, subject, precision, source, detail) VALUES (?,?,?,?,?,?)",
                (seen.at, seen.what.value, seen.subject, seen.precision, seen.source, json.dumps(dict(seen.detail))),
            )
        self.note("closed_idle", recording.closed_idle)
        for key, value in _drain(self._meta):
            run("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, json.dumps(value)))

    def _write_tables(self) -> None:
        names, failures = self._recording.names.texts, self._recording.failures
        last_name, last_failure = len(names), len(failures)
        self._database.executemany(
            "INSERT INTO name VALUES (?, ?)", ((n, names[n]) for n in range(self._names, last_name))
        )
        self._database.executemany(
            "INSERT INTO failure VALUES (?, ?, ?, ?, ?, ?)",
            (
                (n, f.stage.value, f.kind.value, f.errno, f.detail, json.dumps(asdict(f.behind)) if f.behind else "")
                for n in range(max(self._failures, 1), last_failure)
                if (f := failures[n]) is not None
            ),
        )
        self._names, self._failures = last_name, last_failure


def _drain(waiting: queue.SimpleQueue[Any]) -> Iterator[Any]:
    while True:
        try:
            yield waiting.get_nowait()
        except queue.Empty:
            return


def _failed_row(recording: Recording, seq: int) -> tuple[Any, ...]:
    exchange = recording.exchange(seq)
    failure = exchange.failure or Failure(Stage.AWAIT, Kind.NOT_SENT)
    why = (failure.stage.value, failure.kind.value, failure.errno, failure.detail)
    return (seq, exchange.lane.value, *why, *(getattr(exchange, name) for name in _FAILED_ROW))


def _pack(recording: Recording, rows: array[int]) -> bytes:
    """Sequence numbers (u32), then every column in the order of `COLUMNS`, little-endian, deflated at level 1."""
    columns = [rows]
    for name, code in COLUMNS:
        column = getattr(recording, name)
        columns.append(array(code, map(column.__getitem__, rows)))
    if sys.byteorder == "big":
        for column in columns[1:]:
            column.byteswap()
    return zlib.compress(b"".join(column.tobytes() for column in columns), 1)


def _unpack(data: bytes, rows: int) -> tuple[array[int], list[array[Any]]]:
    raw = memoryview(zlib.decompress(data))
    columns: list[array[Any]] = []
    for code in ("I", *(code for _, code in COLUMNS)):
        column = array(code)
        size = rows * column.itemsize
        column.frombytes(raw[:size])
        raw = raw[size:]
        if sys.byteorder == "big":
            column.byteswap()
        columns.append(column)
    return columns[0], columns[1:]


def plan_as_json(plan: Plan) -> dict[str, Any]:
    """A plan in JSON types. Bodies are not kept, only their sizes."""
    out = asdict(plan)
    for shape in out["traffic"]["requests"]:
        shape["body"] = len(shape["body"])
        shape["headers"] = [name for name, _ in shape["headers"]]
        shape["expect_status"] = [[r.start, r.stop] for r in shape["expect_status"]]
    return out


def plan_from_json(data: Mapping[str, Any]) -> Plan:
    """The plan that `plan_as_json` wrote, without the headers' values and the bodies."""
    traffic = dict(data["traffic"])
    shapes = tuple(
        RequestShape(
            method=shape["method"],
            path=shape["path"],
            headers=tuple((name, "") for name in shape["headers"]),
            secret_headers=tuple((name, variable) for name, variable in shape["secret_headers"]),
            weight=shape["weight"],
            expect_status=tuple(range(start, stop) for start, stop in shape["expect_status"]),
            expect_body=BodyExpectation(**shape["expect_body"]) if shape["expect_body"] else None,
        )
        for shape in traffic.pop("requests")
    )
    lanes = tuple((Lane(lane), share) for lane, share in traffic.pop("lanes"))
    arrivals = ArrivalProcess(traffic.pop("arrivals"))
    disruption = dict(data["disruption"])
    rest = {key: value for key, value in data.items() if key not in {"traffic", "disruption", "sockets"}}
    return Plan(
        TrafficPlan(**traffic, requests=shapes, lanes=lanes, arrivals=arrivals),
        DisruptionPlan(**{**disruption, "kind": Disruption(disruption["kind"])}),
        SocketPlan(**data["sockets"]) if data.get("sockets") else None,
        **rest,
    )


@dataclass(frozen=True, slots=True)
class StoredRun:
    """A run file that was read: the run, and all of its notes."""

    run: Run
    meta: Mapping[str, Any]


Result = TypeVar("Result")


def read(path: Path) -> StoredRun:
    """Read a run file (or the folder that holds one), also one whose writer was killed.

    Raises `UsageError` for what is no run file.
    """
    return _open(path, _read)


def read_notes(path: Path) -> Mapping[str, Any]:
    """Only the notes of a run file, without its exchanges: quick. Raises `UsageError` for what is no run file."""
    return _open(path, lambda database, _: _read_meta(database))


def _open(path: Path, how: Callable[[sqlite3.Connection, Path], Result]) -> Result:
    file = path / "run.db" if path.is_dir() else path
    if not file.is_file():
        raise UsageError(f"{path} is no run: there is no {file.name} there")
    try:
        with closing(sqlite3.connect(f"file:{file}?mode=rw", uri=True)) as database:
            return how(database, file)
    except (sqlite3.Error, KeyError, ValueError, TypeError, zlib.error) as error:
        raise UsageError(f"{file} cannot be read as a run file: {error}") from error


def _read_meta(database: sqlite3.Connection) -> dict[str, Any]:
    return {key: json.loads(value) for key, value in database.execute("SELECT key, value FROM meta")}


def _read(database: sqlite3.Connection, file: Path) -> StoredRun:
    meta = _read_meta(database)
    if meta.get("format") != FORMAT:
        raise UsageError(f"{file} has run format {meta.get('format')}; this lameduck reads format {FORMAT}")
    recording = _read_recording(database)
    recording.closed_idle = meta.get("closed_idle", 0)
    observations = [
        Observation(at, _what(what), subject, precision, source, json.loads(detail))
        for at, what, subject, precision, source, detail in database.execute(
            "SELECT at, what, subject, precision, source, detail FROM observation ORDER BY id"
        )
    ]
    facts = {**meta["facts"], "notes": tuple(meta["facts"]["notes"])}
    started = meta["load_started"]
    run = Run(
        plan=plan_from_json(meta["plan"]),
        facts=ClusterFacts(**facts),
        recording=recording,
        observations=observations,
        load_started=started,
        load_ended=meta.get("load_ended") or max(recording.finished, default=started),
        stalls=[Stall(start, length) for start, length in meta.get("stalls", [])],
        wall_anchor=meta.get("wall_anchor", 0),
        complete=bool(meta.get("complete")),
        foreign=Foreign.from_dict(meta["foreign"]) if meta.get("foreign") else None,
        stopped_early=meta.get("stopped_early", ""),
        meta=meta.get("about", {}),
    )
    return StoredRun(run, meta)


def _what(name: str) -> Milestone | Event:
    return Milestone(name) if name in set(Milestone) else Event(name)


def _behind(told: str = "") -> Behind | None:
    """What a hop met, as it was stored; runs of earlier versions have none."""
    if not told:
        return None
    told_as = json.loads(told)
    return Behind(**{**told_as, "stage": Stage(told_as["stage"]), "kind": Kind(told_as["kind"])})


def _read_recording(database: sqlite3.Connection) -> Recording:
    recording = Recording()
    recording.names = Names.of(text for (text,) in database.execute("SELECT text FROM name ORDER BY id"))
    for _, stage, kind, errno, detail, *more in database.execute("SELECT * FROM failure ORDER BY id"):
        recording.failures.append(Failure(Stage(stage), Kind(kind), errno, detail, _behind(*more)))
    order = array("I")
    parts: list[list[array[Any]]] = []
    for rows, data in database.execute("SELECT rows, data FROM chunk ORDER BY id"):
        seqs, columns = _unpack(data, rows)
        order.extend(seqs)
        parts.append(columns)
    by_seq = sorted(range(len(order)), key=order.__getitem__)
    for number, (name, code) in enumerate(COLUMNS):
        whole: array[Any] = array(code)
        for part in parts:
            whole.extend(part[number])
        getattr(recording, name).extend(map(whole.__getitem__, by_seq))
    recording.settled.extend(range(len(by_seq)))
    recording.failed = sum(map(bool, recording.failure))
    return recording
