"""Points of time as files write them, in nanoseconds since the epoch (UTC)."""

from __future__ import annotations

import re
from datetime import datetime

from lameduck.core.instants import SECOND

_FRACTION = re.compile(r"[.,](\d+)")


def rfc3339(text: str) -> int:
    """``2026-11-25T05:20:41.041306941Z``, with up to nine digits of a second. Raises `ValueError`."""
    found = _FRACTION.search(text)
    whole = datetime.fromisoformat(_FRACTION.sub("", text, count=1))
    if whole.tzinfo is None:
        raise ValueError(f"'{text}' names no time zone")
    fraction = int(found.group(1)[:9].ljust(9, "0")) if found else 0
    return int(whole.timestamp()) * SECOND + fraction


def common_log(text: str) -> int:
    """``25/Nov/2026:05:20:41 +0000``, the common log format's. Raises `ValueError`."""
    return int(datetime.strptime(text, "%d/%b/%Y:%H:%M:%S %z").timestamp()) * SECOND
