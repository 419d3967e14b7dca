"""The layer's settings: an argument wins over its ``LAMEDUCK_*`` variable, which wins over the default.

Times are seconds as arguments, and as `lameduck-pod` writes them (``1.5``, ``500ms``, ``2m``) in variables. The names
are those of `lameduck-pod drain`, so that one environment serves both.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NamedTuple

from lameduck_pod import spans
from lameduck_pod.gate import Rules
from lameduck_pod.spans import SECOND

KEEP, FAIL = "keep", "fail"
RESERVE = 10 * SECOND
MARGIN = SECOND


class Settings(NamedTuple):
    """What was said, by arguments or by the environment."""

    rules: Rules = Rules()
    readiness: str = KEEP
    readiness_path: str = ""
    status_path: str = ""
    ignore: frozenset[str] = frozenset()
    """Paths whose requests do not count as traffic."""
    retry: int = 1000
    """What event streams are told to wait before they come back, in milliseconds."""
    token: str = ""
    journal: str = "auto"


def read(
    least: float | None = None,
    quiet: float | None = None,
    most: float | None = None,
    grace: float | None = None,
    readiness: str | None = None,
    readiness_path: str | None = None,
    status_path: str | None = None,
    ignore: Sequence[str] | None = None,
) -> Settings:
    """The settings. Raises ValueError with a sentence for people where they cannot be used."""
    base = Rules()
    readiness = _text("readiness", readiness) or KEEP
    path = _text("readiness_path", readiness_path)
    if readiness not in (KEEP, FAIL):
        raise ValueError(f"readiness is {readiness!r}; say keep or fail")
    if readiness == FAIL and not path:
        raise ValueError("readiness=fail needs readiness_path (LAMEDUCK_READINESS_PATH): which path fails?")
    tail = _time("reserve", None, RESERVE) + _time("margin", None, MARGIN)
    listed = [*(ignore or ()), *os.environ.get("LAMEDUCK_IGNORE_PATHS", "").replace(",", " ").split()]
    status = _text("status_path", status_path)
    rules = Rules(
        least=_time("least", least, base.least),
        quiet=_time("quiet", quiet, base.quiet),
        most=_most(most, grace, tail, base.most),
        tail=tail,
    )
    return Settings(
        rules=rules,
        readiness=readiness,
        readiness_path=path,
        status_path=status,
        ignore=frozenset([*listed, path, status, status + "/metrics"]),
        token=os.environ.get("LAMEDUCK_TOKEN", ""),
        journal=os.environ.get("LAMEDUCK_JOURNAL", "auto"),
    )


def _text(name: str, said: str | None) -> str:
    return said if said is not None else os.environ.get("LAMEDUCK_" + name.upper(), "")


def _time(name: str, said: float | None, default: int) -> int:
    if said is not None:
        if said < 0:
            raise ValueError(f"{name} is {said}; a time cannot be negative")
        return round(said * SECOND)
    text = os.environ.get("LAMEDUCK_" + name.upper(), "")
    try:
        return spans.parse(_from_file(text)) if text else default
    except ValueError as e:
        raise ValueError(f"LAMEDUCK_{name.upper()}: {e}") from None


def _from_file(text: str) -> str:
    """A grace period may be a file: a downward API volume of an annotation."""
    if not text.startswith("/"):
        return text
    try:
        with open(text, encoding="utf-8") as f:
            return f.read().strip().strip('"')
    except OSError as e:
        raise ValueError(f"{text} cannot be read: {e.strerror}") from None


def _most(most: float | None, grace: float | None, tail: int, default: int) -> int:
    said = _time("most", most, -1)
    if said >= 0:
        return said
    period = _time("grace", grace, -1)
    if period < 0:
        return default
    left = period - tail - _time("pre_stop", None, 0)
    if left <= 0:
        raise ValueError(
            f"a grace period of {spans.human(period)} − {spans.human(tail)} for the server's own stop leaves no time: "
            "raise the grace period, or lower LAMEDUCK_RESERVE"
        )
    return left
