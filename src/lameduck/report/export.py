"""Every exchange as a table, for people's own tools: CSV as text, Parquet through pyarrow (``lameduck[parquet]``).

Law: one row per exchange, times as nanoseconds from the start of the load, empty where something never happened;
columns and their order are the same in both formats.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from lameduck.core.recording import CLOSE_ANNOUNCED, LANES, Recording
from lameduck.core.run import Run

INSTANTS = ("intended_start", "actual_start", "connected", "sent", "first_byte", "finished")
NUMBERS = ("idle", "connection", "nth_on_connection", "local_port", "status", "size")
NAMES = ("peer", "served_by", "routed_to")
HEAD = (
    "seq", "lane", *(f"{name}_ns" for name in INSTANTS), "idle_ns", *NUMBERS[1:],
    *NAMES, "close_announced", "stage", "kind", "errno", "detail",
)  # fmt: skip
"""The columns, in order."""


def rows(run: Run) -> Iterator[tuple[Any, ...]]:
    """Every exchange as a tuple in the order of `HEAD`; None where there is nothing."""
    recording, origin = run.recording, run.load_started
    texts = recording.names.texts
    failures = [
        ("", "", None, "") if f is None else (f.stage.value, f.kind.value, f.errno, f.detail)
        for f in recording.failures
    ]
    columns: list[Iterable[int]] = [getattr(recording, name) for name in (*INSTANTS, *NUMBERS, *NAMES)]
    for seq, (lane, flags, failure, *rest) in enumerate(
        zip(recording.lane, recording.flags, recording.failure, *columns, strict=True)
    ):
        instants = (at - origin if at else None for at in rest[:6])
        names = (texts[number] or None for number in rest[12:])
        told = (each if each != "" else None for each in failures[failure])
        yield seq, LANES[lane].value, *instants, *rest[6:12], *names, bool(flags & CLOSE_ANNOUNCED), *told


def csv_lines(run: Run) -> Iterator[str]:
    """RFC 4180 lines with a header. A cell that a spreadsheet would run as a formula is quoted with an apostrophe."""
    yield ",".join(HEAD) + "\r\n"
    for row in rows(run):
        yield ",".join(map(_cell, row)) + "\r\n"


def _cell(value: object) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        return str(int(value)) if isinstance(value, bool) else str(value)
    text = f"'{value}" if value[:1] in "=+-@\t\r" else value
    return '"' + text.replace('"', '""') + '"' if any(mark in text for mark in '",\r\n') else text


def parquet(run: Run) -> bytes:
    """A Parquet file. Raises `ImportError` where pyarrow is not installed."""
    import io  # noqa: PLC0415 - in memory

    import pyarrow as pa  # noqa: PLC0415 - an optional extra, and slow to import
    from pyarrow import parquet as pq  # noqa: PLC0415

    out = io.BytesIO()
    table = pa.table(_arrays(pa, run.recording, run.load_started))
    pq.write_table(table, out, compression="zstd")
    return out.getvalue()


def _arrays(pa: Any, recording: Recording, origin: int) -> dict[str, Any]:
    """The columns as Arrow arrays, names as dictionaries: no Python object for any row."""
    types = {"q": pa.int64(), "I": pa.uint32(), "H": pa.uint16(), "B": pa.uint8()}
    compute = __import__("pyarrow.compute", fromlist=["compute"])

    def numbers(name: str) -> Any:
        column = getattr(recording, name)
        return pa.Array.from_buffers(types[column.typecode], len(column), [None, pa.py_buffer(column)])

    def instant(name: str) -> Any:
        raw = numbers(name)
        return compute.if_else(compute.equal(raw, 0), None, compute.subtract(raw, origin))

    def looked_up(indices: Any, values: list[Any], kind: Any) -> Any:
        return pa.array(values, kind).take(indices.cast(pa.int32()))

    failures = recording.failures
    words = {
        name: [None if f is None else str(getattr(f, name)) or None for f in failures]
        for name in ("stage", "kind", "detail")
    }
    names = [text or None for text in recording.names.texts]
    columns = {
        "seq": pa.array(range(len(recording)), pa.uint32()),
        "lane": looked_up(numbers("lane"), [lane.value for lane in LANES], pa.string()),
        **{f"{name}_ns": instant(name) for name in INSTANTS},
        "idle_ns": numbers("idle"),
        **{name: numbers(name) for name in NUMBERS[1:]},
        **{name: looked_up(numbers(name), names, pa.string()) for name in NAMES},
        "close_announced": compute.not_equal(compute.bit_wise_and(numbers("flags"), CLOSE_ANNOUNCED), 0),
        **{name: looked_up(numbers("failure"), words[name], pa.string()) for name in ("stage", "kind")},
        "errno": looked_up(numbers("failure"), [None if f is None else f.errno for f in failures], pa.int32()),
        "detail": looked_up(numbers("failure"), words["detail"], pa.string()),
    }
    return {name: columns[name] for name in HEAD}
