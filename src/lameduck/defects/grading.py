"""The grade of a server's shutdown and the smallest safe set, from what was seen.

The grade, by the first rule that holds:

    F  it cuts requests in flight, or does not hear the stop signal as PID 1
    D  it finishes what is in flight, but ends too late, never, or leaves processes behind
    C  clients that look before they reuse a connection still lose requests on it, or get 5xx, at its end: no delay
       before the signal mends that
    B  it loses only what comes after its listener is closed: a delay before the signal mends it; or it lost nothing,
       but never says `Connection: close`, so that pooled clients stay until its end, which nobody saw
    A  it loses nothing in the second after the signal, on new and on kept-alive connections
    ?  none of F, D and C was seen, and nobody could ask what becomes of new connections

Over HTTP/2 and gRPC a request is a stream and `Connection: close` is GOAWAY. A stream that the server says it did not
begin (above a GOAWAY's last stream, or REFUSED_STREAM) is lost on a new connection, where nothing else may be tried,
and harmless on one that is used again, since clients send it again by themselves (RFC 9113, 8.7); gRPC's UNAVAILABLE is
a 5xx, CANCELLED a stream reset, which no retry policy for UNAVAILABLE covers. C is then also: a stream that raced with
the end is cut or reset, so that its client may not send it again. The health service has a line and no grade.

Law: what could not be asked never counts as good.
"""

from __future__ import annotations

from lameduck.core.instants import SECOND, human
from lameduck.core.shutdown import GOOD, HARMLESS, Exit, Observed, Question
from lameduck.defects.scorewords import WORDS

SLOW_END = 5 * SECOND
"""An end that takes so long with nothing, or 0.7 s of work, in hand is too late; also where a connection that its
client keeps is what it waits for."""
LAME_END = 15 * SECOND
"""The same for a server that serves on meanwhile: the default grace period is twice that."""

REUSED = (Question.IDLE, Question.IDLE_BUSY, Question.LATE, Question.LATE_BUSY)


def cuts(seen: Observed) -> bool:
    """Whether it ends without finishing what it is working on."""
    return any(letter not in GOOD for letter in seen.letters(Question.IN_FLIGHT))


def deaf(seen: Observed) -> bool:
    """Whether the stop signal does nothing where the server is PID 1."""
    return seen.deaf and all(end.code is not None for end in seen.bare)


def refuses(seen: Observed) -> bool:
    """Whether a new connection after the signal may fail."""
    return any(x not in GOOD for x in seen.letters(Question.NEW) + seen.letters(Question.NEW_BUSY))


def breaks_reuse(seen: Observed) -> bool:
    """Whether a client that looks before it reuses a connection may fail on it; over HTTP/2 also one that cannot have
    read the GOAWAY yet, if it is not told that its stream was not begun."""
    return any(x not in HARMLESS for question in REUSED for x in seen.letters(question))


def loses(seen: Observed) -> bool:
    """Whether a load balancer that goes on for a second loses requests."""
    return seen.lost is not None and (seen.lost.new_failed > 0 or seen.lost.pooled_failed > 0)


def grade_of(seen: Observed) -> tuple[str, str]:
    """The grade, and why it is no better, for people."""
    ends = ends_of(seen)
    if cuts(seen):
        return "F", "it cuts requests in flight"
    if deaf(seen):
        return "F", "as PID 1 it does not hear the stop signal"
    if any(x.code is None for x in ends):
        return "D", "it may not end before SIGKILL"
    if outlived(seen):
        return "D", "it leaves processes behind"
    if any(x.after > too_late(seen) for x in ends):
        return "D", f"it takes {human(slowest(ends).after)} to end"
    if breaks_reuse(seen):
        return "C", "pooled clients lose requests at its end, whatever the delay before"
    lost = seen.lost
    if lost is None and not seen.runs.get(Question.NEW):
        return "?", "too little of it could be asked: it starts or answers too slowly here"
    if refuses(seen) or loses(seen):
        return "B", "it loses what comes after its listener is closed: a delay before the signal mends it"
    if lost is None:
        return "B", "nothing of what was asked was lost, but nobody saw it stop under load"
    if not seen.runs.get(Question.IN_FLIGHT):
        return "B", "it lost nothing, but nobody asked what becomes of requests in flight"
    if silent(seen):
        goodbye = WORDS[seen.protocol].goodbye
        return "B", f"it serves on after the signal, but never says {goodbye}: pooled clients stay until its end"
    return "A", "nothing was lost in the second after the signal"


def too_late(seen: Observed) -> int:
    """From when on an end is too late for this server; ns after the signal."""
    return SLOW_END if refuses(seen) or breaks_reuse(seen) else LAME_END


def outlived(seen: Observed) -> bool:
    """Whether what was started ends and others, the server among them, live on."""
    return any(x.orphans for x in ends_of(seen))


def silent(seen: Observed) -> bool:
    """Whether its kept-alive connections are never told to go."""
    told = seen.busy_goaways or (seen.idle is not None and seen.idle.goaways)
    return seen.keep_alive and seen.lost is not None and not seen.lost.announced and not told


def safe_set_of(seen: Observed) -> list[str]:
    """The least that makes a rollout lose nothing, as far as this measurement can say."""
    needed: list[str] = []
    words = WORDS[seen.protocol]
    grade, _ = grade_of(seen)
    if grade == "A":
        return needed
    if outlived(seen):
        needed.append(
            "exec in the start script: who hears the signal is not the server, and an init does not change it"
        )
    elif deaf(seen):
        needed.append("an init as PID 1 (lameduck-pod run), unless the layer holds the signal")
    if cuts(seen):
        needed.append(f"{words.short}: it waits for requests in flight; no delay before the signal does")
    elif breaks_reuse(seen):
        needed.append(f"{words.short}, and without it preStop ≥ 3 s: pooled clients lose one request each then")
    elif refuses(seen) or loses(seen):
        care = f"; with preStop alone, clients that do not {words.care} may lose one" if seen.keep_alive else ""
        needed.append(f"preStop ≥ 3 s, or {words.short}{care}")
    elif silent(seen):
        needed.append(f"{words.goodbye} after the signal, as {words.short} says it")
    worst = slowest(ends_of(seen)) if seen.bare else None
    if worst is not None and worst.code is None:
        needed.append(f"a drain time-out: it was alive {human(worst.waited)} after the signal")
    elif worst is not None:
        seconds = -(-worst.after // SECOND)
        needed.append(f"a grace period ≥ preStop + {seconds} s + your longest request")
    return needed


def ends_of(seen: Observed) -> list[Exit]:
    """Every end that was watched."""
    return [*seen.bare, *seen.busy, *([seen.idle.exit] if seen.idle else [])]


def slowest(ends: list[Exit]) -> Exit:
    """The latest; one that never came is later than all."""
    return max(ends, key=lambda end: (end.code is None, end.after))
