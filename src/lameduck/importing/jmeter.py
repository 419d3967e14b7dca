"""JMeter's results: a JTL file in CSV with its header line (jmeter.save.saveservice.print_field_names, the default).

Law: a sample's time stamp is its start in milliseconds; ``Connect`` is how long connecting took, and 0 both on a
connection that was there already and on one that took less than a millisecond: more than 0 is new, 0 is not told.
JMeter's HTTP client repeats nothing unless httpclient4.retrycount says so (0 by default, since 2.10).
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping

from lameduck.core.exchange import Exchange
from lameduck.core.instants import MILLISECOND
from lameduck.importing.entry import CLOSED_LOOP, ONLY_STARTS, Imported, entry, failure_of

NEEDED = frozenset({"timeStamp", "elapsed", "responseCode", "success"})
_PREFIXES = ("Non HTTP response code: ", "Non HTTP response message: ")


def parse(lines: Iterable[str]) -> Imported:
    """The samples of a JTL file. Raises `ValueError` for one without its header line."""
    rows = csv.DictReader(lines)
    missing = NEEDED - set(rows.fieldnames or ())
    if missing:
        raise ValueError(
            f"no column {', '.join(sorted(missing))}; JMeter writes them with "
            "-Jjmeter.save.saveservice.output_format=csv -Jjmeter.save.saveservice.print_field_names=true"
        )
    losses = ["times are whole milliseconds", CLOSED_LOOP, ONLY_STARTS]
    if "Connect" not in (rows.fieldnames or ()):
        losses.append("no column Connect: kept-alive and new connections cannot be told apart")
    else:
        losses.append("a connection made in less than 1 ms looks like a kept-alive one")
    return Imported([_sample(row) for row in rows if row.get("timeStamp")], losses)


def _sample(row: Mapping[str, str]) -> Exchange:
    start = int(row["timeStamp"]) * MILLISECOND
    end = start + int(row["elapsed"]) * MILLISECOND
    code = row["responseCode"]
    status = int(code) if code.isdigit() else 0
    words = row.get("failureMessage") or ""
    if not status:
        words = f"{code} {row.get('responseMessage') or ''} {words}"
        for prefix in _PREFIXES:
            words = words.replace(prefix, "")
    good = row["success"].lower() == "true"
    failure = (
        None if good else failure_of(words.strip() or ("" if not 200 <= status < 400 else "not successful"), status)
    )
    connect, latency = int(row.get("Connect") or 0), int(row.get("Latency") or 0)
    return entry(
        start,
        end,
        status,
        failure,
        connected=start + connect * MILLISECOND if connect else None,
        first_byte=start + latency * MILLISECOND if latency else None,
        size=int(row.get("bytes") or 0),
    )
