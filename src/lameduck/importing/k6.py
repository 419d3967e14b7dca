"""k6's points: the file of ``k6 run --out json=FILE``.

Law: k6 writes one point for each metric of a request, all with the request's end as their time and the same tags, the
points of one request behind each other. ``http_reqs`` begins a request, the others tell its parts in milliseconds.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from lameduck.core.exchange import Exchange, Lane
from lameduck.core.instants import MILLISECOND
from lameduck.importing.entry import GO_REPEATS, HIDDEN_RETRIES, ONLY_STARTS, Imported, entry, failure_of
from lameduck.importing.times import rfc3339

Request = tuple[str, Mapping[str, str], dict[str, float]]


def parse(lines: Iterable[str]) -> Imported:
    """The requests of a k6 run. Raises `ValueError` for what is not its JSON."""
    losses = [HIDDEN_RETRIES, ONLY_STARTS, "the first byte's time is known, the connection's number is not"]
    exchanges = [_exchange(*request) for request in _requests(lines)]
    # Go's client repeats only on a connection that was used before
    reused = any(each.lane is not Lane.NEW for each in exchanges)
    return Imported(exchanges, losses, hides_retries=GO_REPEATS if reused else "")


def _requests(lines: Iterable[str]) -> Iterator[Request]:
    current: Request | None = None
    for line in lines:
        if '"http_req' not in line:
            continue
        told: dict[str, Any] = json.loads(line)
        if told.get("type") != "Point":
            continue
        data, metric = told["data"], told["metric"]
        if metric == "http_reqs":
            if current is not None:
                yield current
            current = data["time"], data.get("tags") or {}, {}
        elif current is not None and data["time"] == current[0]:
            current[2][metric] = float(data["value"])
    if current is not None:
        yield current


def _exchange(when: str, tags: Mapping[str, str], parts: Mapping[str, float]) -> Exchange:
    def ns(metric: str) -> int:
        return round(parts.get(metric, 0.0) * MILLISECOND)

    end = rfc3339(when)
    # http_req_duration is sending + waiting + receiving; being blocked (connecting included) comes before it
    start = end - ns("http_req_duration") - ns("http_req_blocked")
    status = int(tags.get("status") or 0)
    words = tags.get("error", "")
    expected = tags.get("expected_response") != "false"
    failure = None if expected and status and not words else failure_of(words, status)
    connecting = ns("http_req_connecting") + ns("http_req_tls_handshaking")
    waiting = ns("http_req_waiting")
    told = status or waiting
    return entry(
        start,
        end,
        status,
        failure,
        connected=start + ns("http_req_blocked") if connecting else None,
        first_byte=end - ns("http_req_receiving") if waiting and status else None,
        served_by=tags.get("served_by", ""),
        lane=Lane.REUSE if told else Lane.UNKNOWN,
    )
