"""Foreign text made harmless: shown as what it is, unable to move a cursor, ring a bell or turn the page around.

Law: every name, header, body or message that came from outside passes through here before it is shown on a terminal;
what is removed is shown as an escape, never dropped in silence.
"""

from __future__ import annotations

import unicodedata

LONGEST = 2_000
"""Characters of one piece of text; the rest is counted."""


def inert(text: str, longest: int = LONGEST) -> str:
    """The text with control, format (bidirectional, zero-width) and surrogate characters as visible escapes."""
    cut = text if len(text) <= longest else f"{text[:longest]}… ({len(text) - longest:,} more characters)"
    if cut.isascii() and cut.isprintable():
        return cut
    return "".join(letter if _harmless(letter) else _escape(letter) for letter in cut)


def line(text: str, longest: int = LONGEST) -> str:
    """The same on one line: white space of any kind is one space."""
    return inert(" ".join(text[: longest + 1].split()) if len(text) <= longest else text, longest).replace("\n", " ")


def _harmless(letter: str) -> bool:
    return letter == "\n" or unicodedata.category(letter) not in {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}


def _escape(letter: str) -> str:
    number = ord(letter)
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"
