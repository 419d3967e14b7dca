"""fortio's access log: ``fortio load -access-log-file FILE -access-log-format json``.

Law: fortio's result file holds sums and a histogram but no single request, so nothing of it can be laid over a rollout:
it is refused, and the option that writes every request is named.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from typing import Any

from lameduck.core.exchange import Exchange
from lameduck.core.instants import from_seconds
from lameduck.importing.entry import CLOSED_LOOP, NO_CONNECTIONS, ONLY_STARTS, Imported, entry, failure_of


def parse(lines: Iterable[str]) -> Imported:
    """The requests of an access log. Raises `ValueError` for a result file and for what is no JSON."""
    rest = iter(lines)
    first = next(rest, "")
    if first.strip() in {"{", ""} or "DurationHistogram" in first:
        raise ValueError(
            "a result file has sums only, no single request; let fortio write them: "
            "fortio load -access-log-file FILE -access-log-format json"
        )
    losses = [CLOSED_LOOP, NO_CONNECTIONS, ONLY_STARTS, "a failure's kind is known only as far as fortio's word goes"]
    return Imported([_request(told) for told in _told(chain([first], rest))], losses)


def _told(lines: Iterable[str]) -> Iterator[Mapping[str, Any]]:
    return (json.loads(line) for line in lines if line.strip())


def _request(told: Mapping[str, Any]) -> Exchange:
    start = int(told["timestamp"])
    details = str(told.get("details", ""))
    status = int(details) if details.isdigit() else 0
    good = bool(told.get("ok", True))
    failure = None if good else failure_of("" if status else details or "not ok", status)
    return entry(start, start + from_seconds(float(told["latency"])), status, failure)
