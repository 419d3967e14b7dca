"""Names of signals, however they are written."""

from __future__ import annotations

import re

SIGNALS = {"1": "HUP", "2": "INT", "3": "QUIT", "9": "KILL", "10": "USR1", "12": "USR2", "15": "TERM", "28": "WINCH"}
SIGNALS |= {"0": "EXIT", "19": "STOP", "6": "ABRT", "17": "CHLD", "37": "RTMIN+3"}
_NAME = re.compile(r"(SIG)?[A-Z][A-Z0-9+-]*\Z")


def signal_name(word: str) -> str:
    """TERM for ``SIGTERM``, ``term``, ``15`` and ``TERM``; "" for what is no signal's name."""
    word = word.strip().strip("\"'")
    if word in SIGNALS:
        return SIGNALS[word]
    upper = word.upper()
    return upper.removeprefix("SIG") if _NAME.match(upper) else ""
