"""The operand of sleep, as coreutils and busybox read it."""

from __future__ import annotations

import re

_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


def duration(word: str) -> float | None:
    """The seconds of ``15``, ``1.5``, ``2m`` or ``infinity``; None for anything else."""
    match = re.match(r"(\d+(?:\.\d+)?)([smhd]?)\Z", word)
    if match is None:
        return float("inf") if word in {"infinity", "inf"} else None
    return float(match[1]) * _UNITS[match[2]]
