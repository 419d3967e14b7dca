"""vegeta's results as JSON: ``vegeta attack … | vegeta encode --to json``.

Law: ``timestamp`` is the request's start, ``latency`` is in nanoseconds; a pod is named where its answer's header
X-Served-By (or whatever header is asked for in lameduck's own traffic) was kept, since vegeta keeps headers.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from lameduck.core.exchange import Exchange
from lameduck.importing.entry import (
    GO_REPEATS,
    HIDDEN_RETRIES,
    NO_CONNECTIONS,
    ONLY_STARTS,
    Imported,
    entry,
    failure_of,
)
from lameduck.importing.times import rfc3339

HEADER = "x-served-by"


def parse(lines: Iterable[str]) -> Imported:
    """The results of an attack. Raises `ValueError` for what is not vegeta's JSON."""
    return Imported(
        [_result(json.loads(line)) for line in lines if line.strip()],
        [HIDDEN_RETRIES, NO_CONNECTIONS, ONLY_STARTS],
        hides_retries=GO_REPEATS,
    )


def _result(told: Mapping[str, Any]) -> Exchange:
    start, status = rfc3339(told["timestamp"]), int(told["code"])
    words = "" if status else str(told.get("error") or "")
    if status and "EOF" in str(told.get("error") or ""):
        words = str(told["error"])  # the status came, the body did not
    headers = {name.lower(): values for name, values in (told.get("headers") or {}).items()}
    return entry(
        start,
        start + int(told["latency"]),
        status,
        failure_of(words, status),
        size=int(told.get("bytes_in") or 0),
        served_by=str(next(iter(headers.get(HEADER) or ()), "")),
    )
