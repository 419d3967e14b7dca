"""Time as this project keeps it: integer nanoseconds.

Law: an *instant* is CLOCK_MONOTONIC in nanoseconds and orders events of one machine; a *duration* is their difference.
Wall-clock time is kept once per run, as an anchor, and used only to print. Pure code is handed instants, never asks.
"""

from __future__ import annotations

MICROSECOND = 1_000
MILLISECOND = 1_000_000
SECOND = 1_000_000_000


def from_seconds(seconds: float) -> int:
    """Nanoseconds of a duration given in seconds."""
    return round(seconds * SECOND)


def to_seconds(nanoseconds: int) -> float:
    """Seconds of a duration given in nanoseconds."""
    return nanoseconds / SECOND


def to_ms(nanoseconds: int) -> float:
    """Milliseconds of a duration given in nanoseconds, to the microsecond."""
    return round(nanoseconds / MILLISECOND, 3)


def human(nanoseconds: int) -> str:
    """A duration as people write it: ``12 ms``, ``1.02 s``, ``75 s``."""
    sign, size = ("−", -nanoseconds) if nanoseconds < 0 else ("", nanoseconds)
    if size < MILLISECOND:
        return f"{sign}{size / MICROSECOND:.0f} µs"
    if size < SECOND:
        return f"{sign}{size / MILLISECOND:.0f} ms"
    if size < 10 * SECOND:
        return f"{sign}{size / SECOND:.2f} s"
    return f"{sign}{size / SECOND:.0f} s"
