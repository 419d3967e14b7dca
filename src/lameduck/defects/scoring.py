"""The report card of a server's shutdown: from what was seen to lines; `grading` has the grade and the safe set,
`streaming` the lines of HTTP/2 and gRPC alone.

Law: a line says what was seen and nothing more; what could not be asked is "not asked", and never counts as good.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from lameduck.core.instants import SECOND, human
from lameduck.core.shutdown import GOOD, HARMLESS, OFFSETS_MS, Exit, Letter, Observed, Protocol, Question
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
from lameduck.defects.scorewords import WORDS, Line, Mark, line_of, unknown_of, words_of
from lameduck.defects.streaming import lines_of, steps

LATE = 2 * SECOND
"""A connection that is kept open for so long after the signal has had its chance to be told."""


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
            "protocol": o.protocol.value,
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
            "goaways_idle": [asdict(x) for x in o.idle.goaways] if o.idle else [],
            "goaways_busy": [asdict(x) for x in o.busy_goaways],
            "health": None if o.health is None else [asdict(x) for x in o.health],
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
        *(lines_of(seen) or [_announces(seen)]),
        _queue(seen),
        _half(seen),
        _end(seen),
        _pid_1(seen),
    ]
    grade, because = grade_of(seen)
    return Card(grade, because, tuple(lines), tuple(safe_set_of(seen)), seen)


def _in_flight(seen: Observed) -> Line:
    if (unknown := unknown_of(seen, Question.IN_FLIGHT)) is not None:
        return unknown
    letters = seen.letters(Question.IN_FLIGHT)
    if cuts(seen):
        return line_of(
            seen,
            Question.IN_FLIGHT,
            Mark.BAD,
            f"cut: {words_of(letters)}",
            "every request that takes time is lost at each rollout",
            f"{WORDS[seen.protocol].layer}; or a server that drains",
            "LD902",
        )
    goodbye = WORDS[seen.protocol].goodbye
    if Letter.LAST in letters or seen.busy_goaways:
        return line_of(seen, Question.IN_FLIGHT, Mark.GOOD, f"finished, with {goodbye}")
    if not seen.keep_alive:
        return line_of(seen, Question.IN_FLIGHT, Mark.GOOD, "finished")
    return line_of(
        seen,
        Question.IN_FLIGHT,
        Mark.WARN,
        f"finished, without {goodbye}",
        "its client keeps the connection, and may use it as the server closes it",
        WORDS[seen.protocol].layer,
        "LD906",
    )


def _six(seen: Observed) -> Line:
    if (unknown := unknown_of(seen, Question.SIX_SLOW)) is not None:
        return unknown
    letters = seen.letters(Question.SIX_SLOW)
    bad = [x for x in letters if x not in GOOD]
    if not bad:
        return line_of(seen, Question.SIX_SLOW, Mark.GOOD, "all finished")
    text = f"{len(bad)} of {len(letters)} lost: {words_of(letters)}"
    why = "requests that wait for a free worker are in hand too"
    return line_of(seen, Question.SIX_SLOW, Mark.BAD, text, why, "more threads or workers, and the layer", "LD902")


def _new(seen: Observed) -> Line:
    if (unknown := unknown_of(seen, Question.NEW)) is not None:
        return unknown
    letters = seen.letters(Question.NEW) + seen.letters(Question.NEW_BUSY)
    if not refuses(seen):
        return line_of(seen, Question.NEW, Mark.GOOD, "answered, all the time")
    hangs = Letter.SILENT in letters or any(Letter.RESET in run[2:] for run in seen.runs.get(Question.NEW_BUSY, ()))
    text = f"{words_of(letters)}, from {_first_bad(seen, Question.NEW, Question.NEW_BUSY)} on"
    if hangs:
        text += "; while draining they connect, wait and are reset"
    return line_of(
        seen,
        Question.NEW,
        Mark.BAD,
        text,
        "routers go on sending for a second or more after the signal",
        f"a preStop of 3 s or more, or {WORDS[seen.protocol].layer}",
        "LD901",
    )


def _idle_closed(seen: Observed) -> Line:
    name = "idle kept-alive connection"
    if not seen.keep_alive:
        return Line(name, Mark.GOOD, "there are none: it closes every connection after its answer")
    if seen.idle is None:
        return Line(name, Mark.UNKNOWN, seen.not_asked.get(name, "could not be asked"))
    if seen.idle.goaways:
        end = "" if seen.idle.how == "open" else f", closed after {human(seen.idle.after)}"
        return Line(name, Mark.GOOD, f"told to go ({steps(seen.idle.goaways)}){end}")
    if seen.idle.how == "open":
        return Line(
            name,
            Mark.WARN,
            f"left open for {human(seen.idle.after)}",
            "its client learns nothing",
            WORDS[seen.protocol].layer,
        )
    if seen.idle.after > LATE:
        return Line(name, Mark.GOOD, f"kept open for {human(seen.idle.after)}")
    text = f"closed unasked ({'RST' if seen.idle.how == 'reset' else 'FIN'}) after {human(seen.idle.after)}"
    why = "a request already under way on it is lost: the client cannot know"
    return Line(name, Mark.WARN, text, why, WORDS[seen.protocol].layer, "LD906")


def _reused(seen: Observed) -> Line:
    if not seen.keep_alive:
        return Line(Question.IDLE.value, Mark.GOOD, "there are none")
    if (unknown := unknown_of(seen, Question.IDLE)) is not None:
        return unknown
    letters = seen.letters(Question.IDLE) + seen.letters(Question.IDLE_BUSY)
    if breaks_reuse(seen):
        bad = {x for x in letters if x not in HARMLESS}
        code = "LD913" if bad == {Letter.UNAVAILABLE} else "LD906"
        return line_of(
            seen,
            Question.IDLE,
            Mark.BAD,
            f"{words_of(letters)}",
            "pooled clients lose a request each, at the end of any delay too",
            f"a preStop and {WORDS[seen.protocol].layer}",
            code,
        )
    if seen.idle is not None and seen.idle.goaways:
        return line_of(seen, Question.IDLE, Mark.GOOD, "answered, or told to go before")
    if Letter.SEEN in letters:
        why = "a client that does not look, or is quicker than the FIN, loses its request"
        return line_of(
            seen,
            Question.IDLE,
            Mark.WARN,
            "closed where the client can see it",
            why,
            WORDS[seen.protocol].layer,
            "LD906",
        )
    return line_of(seen, Question.IDLE, Mark.GOOD, "answered")


def _announces(seen: Observed) -> Line:
    name = "Connection: close after the signal"
    if seen.lost is None:
        return Line(name, Mark.UNKNOWN, seen.not_asked.get("load balancer", "could not be asked"))
    if not silent(seen):
        return Line(name, Mark.GOOD, "said" if seen.lost.announced else "no connection is kept alive")
    why = "it is the only way to move pooled clients away before the end"
    return Line(name, Mark.WARN, "never said", why, WORDS[seen.protocol].layer, "LD906")


def _queue(seen: Observed) -> Line:
    if (unknown := unknown_of(seen, Question.QUEUE)) is not None:
        return unknown
    letters = seen.letters(Question.QUEUE)
    bad = [x for x in letters if x not in GOOD]
    if not bad:
        return line_of(seen, Question.QUEUE, Mark.GOOD, "served")
    text = f"{len(bad)} of {len(letters)} lost: {words_of(letters)}"
    why = "the kernel had accepted them: their clients believe themselves connected"
    return line_of(
        seen, Question.QUEUE, Mark.BAD, text, why, "a preStop longer than the lag empties the queue", "LD912"
    )


def _half(seen: Observed) -> Line:
    if (unknown := unknown_of(seen, Question.HALF)) is not None:
        return unknown
    letters = seen.letters(Question.HALF)
    http_1 = seen.protocol is Protocol.HTTP_1
    if all(x in (GOOD if http_1 else HARMLESS) for x in letters):
        text = "waited for, and answered" if http_1 else "answered, or told to go before it was begun"
        return line_of(seen, Question.HALF, Mark.GOOD, text)
    text = "dropped" if not any(x in GOOD for x in letters) else "partly dropped"
    return line_of(
        seen,
        Question.HALF,
        Mark.WARN,
        text,
        "a slow client's request counts as idle",
        WORDS[seen.protocol].layer,
        "LD902",
    )


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
            "exec in the start script"
            if outlived(seen)
            else f"an init in front (lameduck-pod run, tini), or {WORDS[seen.protocol].layer}",
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
