"""The report card of a server's shutdown: from what was seen to lines; `grading` has the grade and the safe set.

Law: a line says what was seen and nothing more; what could not be asked is "not asked", and never counts as good.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from lameduck.core.instants import SECOND, human
from lameduck.core.shutdown import GOOD, HARMLESS, OFFSETS_MS, Exit, Letter, Observed, Question
from lameduck.defects.grading import (
    breaks_reuse,
    cuts,
    deaf,
    ends_of,
    grade_of,
    outlived,
    refuses,
    safe_set_of,
    silent,
    slowest,
    too_late,
)

LATE = 2 * SECOND
"""A connection that is kept open for so long after the signal has had its chance to be told."""
LAYER = "the lame-duck layer (docs/layer.md)"


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
class Card:
    """The whole card."""

    grade: str
    because: str
    lines: tuple[Line, ...]
    safe_set: tuple[str, ...]
    observed: Observed

    def as_dict(self) -> dict[str, Any]:
        """The card as JSON types."""
        o = self.observed
        return {
            "command": list(o.command),
            "signal": o.signal,
            "grade": self.grade,
            "because": self.because,
            "safe_set": list(self.safe_set),
            "lines": [
                {
                    "question": x.question,
                    "mark": x.mark.value,
                    "seen": x.seen,
                    "why": x.why or None,
                    "todo": x.todo or None,
                    "code": x.code or None,
                    "letters": x.letters or None,
                    "settled": x.settled,
                }
                for x in self.lines
            ],
            "letters": {question.name.lower(): list(runs) for question, runs in o.runs.items()},
            "seconds": round(o.seconds, 1),
        }


def card(seen: Observed) -> Card:
    """Judge what was seen."""
    lines = [
        _in_flight(seen),
        _six(seen),
        _new(seen),
        _idle_closed(seen),
        _reused(seen),
        _announces(seen),
        _queue(seen),
        _half(seen),
        _end(seen),
        _pid_1(seen),
    ]
    grade, because = grade_of(seen)
    return Card(grade, because, tuple(lines), tuple(safe_set_of(seen)), seen)


def _unknown(seen: Observed, question: Question) -> Line | None:
    if seen.runs.get(question):
        return None
    return Line(question.value, Mark.UNKNOWN, seen.not_asked.get(question.value, "could not be asked"))


def _of(
    seen: Observed, question: Question, mark: Mark, text: str, why: str = "", todo: str = "", code: str = ""
) -> Line:
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


def _in_flight(seen: Observed) -> Line:
    if (unknown := _unknown(seen, Question.IN_FLIGHT)) is not None:
        return unknown
    letters = seen.letters(Question.IN_FLIGHT)
    if cuts(seen):
        return _of(
            seen,
            Question.IN_FLIGHT,
            Mark.BAD,
            f"cut: {_words(letters)}",
            "every request that takes time is lost at each rollout",
            f"{LAYER} waits for it; or a server that drains",
            "LD902",
        )
    if Letter.LAST in letters:
        return _of(seen, Question.IN_FLIGHT, Mark.GOOD, "finished, with Connection: close")
    return _of(
        seen,
        Question.IN_FLIGHT,
        Mark.WARN,
        "finished, without Connection: close",
        "its client keeps the connection, and may use it as the server closes it",
        LAYER,
        "LD906",
    )


def _six(seen: Observed) -> Line:
    if (unknown := _unknown(seen, Question.SIX_SLOW)) is not None:
        return unknown
    letters = seen.letters(Question.SIX_SLOW)
    bad = [x for x in letters if x not in GOOD]
    if not bad:
        return _of(seen, Question.SIX_SLOW, Mark.GOOD, "all finished")
    text = f"{len(bad)} of {len(letters)} lost: {_words(letters)}"
    why = "requests that wait for a free worker are in hand too"
    return _of(seen, Question.SIX_SLOW, Mark.BAD, text, why, "more threads or workers, and the layer", "LD902")


def _new(seen: Observed) -> Line:
    if (unknown := _unknown(seen, Question.NEW)) is not None:
        return unknown
    letters = seen.letters(Question.NEW) + seen.letters(Question.NEW_BUSY)
    if not refuses(seen):
        return _of(seen, Question.NEW, Mark.GOOD, "answered, all the time")
    hangs = Letter.SILENT in letters or Letter.RESET in seen.letters(Question.NEW_BUSY)
    text = f"{_words(letters)}, from {_first_bad(seen, Question.NEW, Question.NEW_BUSY)} on"
    if hangs:
        text += "; while draining they connect, wait and are reset"
    return _of(
        seen,
        Question.NEW,
        Mark.BAD,
        text,
        "routers go on sending for a second or more after the signal",
        f"a preStop of 3 s or more, or {LAYER}",
        "LD901",
    )


def _idle_closed(seen: Observed) -> Line:
    name = "idle kept-alive connection"
    if not seen.keep_alive:
        return Line(name, Mark.GOOD, "there are none: it closes every connection after its answer")
    if seen.idle is None:
        return Line(name, Mark.UNKNOWN, seen.not_asked.get(name, "could not be asked"))
    if seen.idle.how == "open":
        return Line(name, Mark.WARN, f"left open for {human(seen.idle.after)}", "its client learns nothing", LAYER)
    if seen.idle.after > LATE:
        return Line(name, Mark.GOOD, f"kept open for {human(seen.idle.after)}")
    text = f"closed unasked ({'RST' if seen.idle.how == 'reset' else 'FIN'}) after {human(seen.idle.after)}"
    why = "a request already under way on it is lost: the client cannot know"
    return Line(name, Mark.WARN, text, why, LAYER, "LD906")


def _reused(seen: Observed) -> Line:
    if not seen.keep_alive:
        return Line(Question.IDLE.value, Mark.GOOD, "there are none")
    if (unknown := _unknown(seen, Question.IDLE)) is not None:
        return unknown
    letters = seen.letters(Question.IDLE) + seen.letters(Question.IDLE_BUSY)
    if breaks_reuse(seen):
        bad = {x for x in letters if x not in HARMLESS}
        code = "LD913" if bad == {Letter.UNAVAILABLE} else "LD906"
        return _of(
            seen,
            Question.IDLE,
            Mark.BAD,
            f"{_words(letters)}",
            "pooled clients lose a request each, at the end of any delay too",
            f"a preStop and {LAYER}",
            code,
        )
    if Letter.SEEN in letters:
        why = "a client that does not look, or is quicker than the FIN, loses its request"
        return _of(seen, Question.IDLE, Mark.WARN, "closed where the client can see it", why, LAYER, "LD906")
    return _of(seen, Question.IDLE, Mark.GOOD, "answered")


def _announces(seen: Observed) -> Line:
    name = "Connection: close after the signal"
    if seen.lost is None:
        return Line(name, Mark.UNKNOWN, "could not be asked")
    if not silent(seen):
        return Line(name, Mark.GOOD, "said" if seen.lost.announced else "no connection is kept alive")
    why = "it is the only way to move pooled clients away before the end"
    return Line(name, Mark.WARN, "never said", why, LAYER, "LD906")


def _queue(seen: Observed) -> Line:
    if (unknown := _unknown(seen, Question.QUEUE)) is not None:
        return unknown
    letters = seen.letters(Question.QUEUE)
    bad = [x for x in letters if x not in GOOD]
    if not bad:
        return _of(seen, Question.QUEUE, Mark.GOOD, "served")
    text = f"{len(bad)} of {len(letters)} lost: {_words(letters)}"
    why = "the kernel had accepted them: their clients believe themselves connected"
    return _of(seen, Question.QUEUE, Mark.BAD, text, why, "a preStop longer than the lag empties the queue", "LD912")


def _half(seen: Observed) -> Line:
    if (unknown := _unknown(seen, Question.HALF)) is not None:
        return unknown
    letters = seen.letters(Question.HALF)
    if all(x in GOOD for x in letters):
        return _of(seen, Question.HALF, Mark.GOOD, "waited for, and answered")
    text = "dropped" if not any(x in GOOD for x in letters) else "partly dropped"
    return _of(seen, Question.HALF, Mark.WARN, text, "a slow client's request counts as idle", LAYER, "LD902")


def _end(seen: Observed) -> Line:
    name = "the end"
    if not seen.bare:
        return Line(name, Mark.UNKNOWN, "could not be asked")
    worst = slowest(ends_of(seen))
    text = f"exit {_code(seen.bare[0])} after {_when(seen.bare[0])}"
    if seen.busy:
        text += f"; {_when(slowest(list(seen.busy)))} with 0.7 s of work in hand"
    if seen.idle is not None:
        text += f"; {_when(seen.idle.exit)} with an idle connection open"
    if outlived(seen):
        why = "the server never heard of it, and is killed with the container"
        return Line(name, Mark.BAD, text + "; processes left behind", why, "exec in the start script", "LD401")
    if worst.code is None:
        return Line(name, Mark.BAD, text, "SIGKILL ends it at the end of the grace period", "a drain time-out", "LD802")
    if worst.after > too_late(seen):
        why = "the grace period must cover it, and every rollout waits for it"
        return Line(name, Mark.WARN, text, why, "a shorter keep-alive or drain time-out", "LD911")
    return Line(name, Mark.GOOD, text)


def _pid_1(seen: Observed) -> Line:
    name = Question.PID_1.value
    if seen.pid_1 is None:
        return Line(name, Mark.UNKNOWN, seen.not_asked.get(name, "could not be asked"))
    if seen.pid_1.code is None and not deaf(seen):
        return Line(
            name, Mark.WARN, f"heard, and alive after {human(seen.pid_1.waited)}", "SIGKILL ends it", "", "LD802"
        )
    if deaf(seen):
        return Line(
            name,
            Mark.BAD,
            f"the signal does nothing: it still serves after {human(seen.pid_1.waited)}",
            "the kernel drops signals without a handler for PID 1: every pod waits for SIGKILL, and is cut then",
            "exec in the start script" if outlived(seen) else f"an init in front (lameduck-pod run, tini), or {LAYER}",
            "LD903",
        )
    return Line(name, Mark.GOOD, f"exit {_code(seen.pid_1)} after {_when(seen.pid_1)}")


def _code(end: Exit) -> str:
    if end.code is None:
        return "never"
    return str(end.code) if end.code >= 0 else f"by signal {-end.code}"


def _when(end: Exit) -> str:
    return f"more than {human(end.waited)}" if end.code is None else human(end.after)


def _first_bad(seen: Observed, *questions: Question) -> str:
    runs = [run for question in questions for run in seen.runs.get(question, ())]
    bad = [ms for run in runs for ms, letter in zip(OFFSETS_MS, run, strict=False) if letter not in GOOD]
    first = min(bad, default=0)
    return f"{first} ms" if first else "the first moment"


NAMES = {
    Letter.REFUSED: "refused",
    Letter.RESET: "reset",
    Letter.CLOSED: "closed without an answer",
    Letter.CUT: "cut within the answer",
    Letter.SILENT: "no answer",
    Letter.UNAVAILABLE: "5xx",
    Letter.OTHER: "another status",
}


def _words(letters: str) -> str:
    found = [name for letter, name in NAMES.items() if letter in letters]
    return ", ".join(found) or "answered"
