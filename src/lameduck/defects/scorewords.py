"""A line of the report card, and the words of the protocols."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from lameduck.core.shutdown import Letter, Observed, Protocol, Question

SERVE_ON = "a lame duck (serve on for 3 s, then GOAWAY and a drain)"


class Mark(StrEnum):
    """How good one line is."""

    GOOD = "good"
    WARN = "warning"
    BAD = "bad"
    UNKNOWN = "not asked"


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the card."""

    question: str
    mark: Mark
    seen: str
    why: str = ""
    """Why it matters; "" where it is good."""
    todo: str = ""
    code: str = ""
    letters: str = ""
    settled: bool = True


@dataclass(frozen=True, slots=True)
class Words:
    """What things are called where this protocol is spoken."""

    goodbye: str
    """How a server tells its clients to leave a connection."""
    short: str
    """What mends most."""
    layer: str
    """The same, and where it is told."""
    care: str
    """What good clients do."""


WORDS = {
    Protocol.HTTP_1: Words("Connection: close", "the lame-duck layer", "the lame-duck layer (docs/layer.md)", "look"),
    Protocol.HTTP_2: Words("GOAWAY", SERVE_ON, SERVE_ON, "send again"),
    Protocol.GRPC: Words("GOAWAY", "the lame-duck layer", "the lame-duck layer (lameduck_pod.grpc)", "send again"),
}


def unknown_of(seen: Observed, question: Question) -> Line | None:
    """The line of a question that nobody could ask; None if it was asked."""
    if seen.runs.get(question):
        return None
    return Line(question.value, Mark.UNKNOWN, seen.not_asked.get(question.value, "could not be asked"))


def line_of(
    seen: Observed, question: Question, mark: Mark, text: str, why: str = "", todo: str = "", code: str = ""
) -> Line:
    """A line with the letters of its question; a good one needs no reason."""
    letters = " ".join(dict.fromkeys(seen.runs[question]))
    good = mark is Mark.GOOD
    return Line(
        question.value,
        mark,
        text,
        "" if good else why,
        "" if good else todo,
        "" if good else code,
        letters,
        seen.settled(question),
    )


NAMES = {
    Letter.REFUSED: "refused",
    Letter.RESET: "reset",
    Letter.CLOSED: "closed without an answer",
    Letter.CUT: "cut within the answer",
    Letter.SILENT: "no answer",
    Letter.UNAVAILABLE: "5xx",
    Letter.OTHER: "another status",
    Letter.UNPROCESSED: "not begun (GOAWAY), safe to send again",
    Letter.REFUSED_STREAM: "REFUSED_STREAM, safe to send again",
    Letter.STREAM_RESET: "stream reset",
}


def words_of(letters: str) -> str:
    """What the bad ones among them mean."""
    found = [name for letter, name in NAMES.items() if letter in letters]
    return ", ".join(found) or "answered"
