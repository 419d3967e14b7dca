"""Durations: integer nanoseconds inside, ``1.5``, ``1.5s``, ``500ms`` or ``2m`` outside."""

from __future__ import annotations

SECOND = 1_000_000_000
UNITS = (("ms", 1_000_000), ("s", SECOND), ("m", 60 * SECOND))


def parse(text: str) -> int:
    """Nanoseconds of ``1.5``, ``1.5s``, ``500ms``, ``2m``. Raises ValueError with a sentence for people."""
    digits, unit = text.strip(), SECOND
    for suffix, size in UNITS:
        if digits.endswith(suffix):
            digits, unit = digits[: -len(suffix)], size
            break
    try:
        value = float(digits)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1e7:
        raise ValueError(f"{text!r} is not a time; say seconds (1.5), 500ms or 2m")
    return round(value * unit)


def human(nanoseconds: int) -> str:
    """``12 ms``, ``3.4 s``, ``20 s``: as short as it is true to a tenth of a second."""
    if abs(nanoseconds) < SECOND // 10:
        return f"{nanoseconds / 1e6:.0f} ms"
    return f"{nanoseconds / SECOND:.1f}".removesuffix(".0") + " s"


def seconds(nanoseconds: int) -> float:
    """Seconds, to the millisecond: what a machine reads in the journal."""
    return round(nanoseconds / SECOND, 3)
