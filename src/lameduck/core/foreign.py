"""A load that somebody else's tool sent: what its record cannot say, and what zero losses in it still lack.

Law: a loss in such a record is a loss. That nothing was lost is PROVEN only if the record itself shows that it would
have shown one: the rate that was promised was held in each second of an exposed window (a closed loop that waits for a
slow answer asks less, and less than promised proves nothing), the client's own view, no repeats that hide a failure,
and a clock that is ours.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from lameduck.core.instants import MILLISECOND, SECOND, human
from lameduck.core.proof import LEAST_ATTEMPTS, LEAST_SENT, LEAST_SENT_IN_A_SECOND, Gate, Termination
from lameduck.core.windows import Window

MOST_CLOCK_ERROR = 20 * MILLISECOND


@dataclass(frozen=True, slots=True)
class Foreign:
    """Whose load it was, and how far its record goes. Times in nanoseconds."""

    kind: str
    """``jmeter``, ``k6``, ``nginx`` …"""
    source: str
    """The file."""
    command: str = ""
    """What we started to make it, "" where it was somebody else's to start."""
    losses: tuple[str, ...] = ()
    """What such a file cannot say, in words."""
    rate: float = 0.0
    """Requests per second that it promises to hold; 0 where nobody said so."""
    precision: int = MILLISECOND
    """How exactly its times are known."""
    clock_error: int | None = None
    """How far its clock may be from ours; None where nobody knows."""
    client_view: bool = True
    """Whether the client wrote it; a proxy's log lacks what never reached the proxy."""
    hides_retries: str = ""
    """Who may have repeated failed requests without saying so, in words; "" for nobody."""
    masked: int = 0
    """Requests that failed at one pod and were answered by another, as the record says."""
    outside: int = 0
    """Requests of the file that were sent before or after the run."""

    @property
    def time_error(self) -> int:
        """How far (ns) a request may really have been from the time in the record."""
        return self.precision + (self.clock_error or 0)

    def as_dict(self) -> dict[str, Any]:
        """In JSON types."""
        return {**asdict(self), "losses": list(self.losses)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Foreign:
        """What `as_dict` wrote."""
        return cls(**{**data, "losses": tuple(data["losses"])})


def promise_gate(foreign: Foreign, starts: Iterable[int], counted: Window, at_risk: Sequence[Window]) -> Gate:
    """Gate 2: the promised rate was held, over all and in each whole second of an exposed window.

    ``starts`` are the actual starts of all requests (instants, ns), ``counted`` from the end of settling to the end.
    """
    name = "the plan was sent"
    each = list(starts)
    if not foreign.kind:
        return Gate(name, False, "no load was imported", "when its file is there: lameduck attach KIND:FILE")
    if not each:
        return Gate(name, False, "no request of the imported file lies in the run: nothing is proven", "import another")
    if not foreign.rate:
        detail = (
            f"how much {foreign.kind} was meant to send is not known: it may have waited while answers were missing"
        )
        return Gate(name, False, detail, "say the rate that its plan holds: --qps N")
    remedy = f"a plan that holds {foreign.rate:g}/s whatever the answers do (a timer, enough threads), until the end"
    # promised until the last window's end: what a tool does after that is nobody's business
    until = max((window.end for window in at_risk), default=counted.end)
    due = foreign.rate * (until - counted.start) / SECOND
    sent = sum(counted.start <= at < until for at in each)
    if sent < LEAST_SENT * due:
        return Gate(name, False, f"{sent:,} of the promised {due:,.0f} requests", remedy)
    thin = _thin(each, foreign.rate, at_risk)
    if thin:
        least = min(count for _, count in thin)
        detail = f"{len(thin)} seconds of an exposed window had less than promised, one of them {least:,} requests"
        return Gate(name, False, detail, remedy)
    return Gate(name, True, f"{sent:,} requests, at least {foreign.rate:g} in each second of an exposed window")


def _thin(starts: Iterable[int], rate: float, at_risk: Sequence[Window]) -> list[tuple[int, int]]:
    """The whole seconds of the windows with less than their share of the promise: (second, requests)."""
    found = []
    times = sorted(starts)
    for window in at_risk:
        seconds = Counter((at - window.start) // SECOND for at in times if at in window)
        whole = range(int((window.end - window.start) // SECOND))
        found += [(n, seconds[n]) for n in whole if seconds[n] < LEAST_SENT_IN_A_SECOND * rate]
    return found


def attempts_gate(foreign: Foreign, terminations: Sequence[Termination]) -> Gate:
    """Gate 4: every termination was asked enough, on whichever connections."""
    name = "every termination was under load"
    least = min((each.attempts for each in terminations), default=0)
    if not terminations:
        return Gate(name, False, "none was seen")
    if least < LEAST_ATTEMPTS:
        detail = f"only {least} requests in the first 2 s of a termination, {LEAST_ATTEMPTS} needed"
        return Gate(name, False, detail, f"a higher rate of {foreign.kind}, from before the first rollout to the end")
    return Gate(name, True, f"{len(terminations)} terminations, at least {least} requests in the first 2 s of each")


def sight_gates(foreign: Foreign) -> list[Gate]:
    """What the record must be able to show: the client's own view, no hidden repeats, our clock."""
    if not foreign.kind:
        return []
    return [_view_gate(foreign), _retry_gate(foreign), _clock_gate(foreign)]


def _view_gate(foreign: Foreign) -> Gate:
    name = "the client's own view"
    if foreign.client_view:
        return Gate(name, True, f"{foreign.kind} wrote down what it met itself")
    detail = "a proxy's log holds only what reached the proxy"
    return Gate(name, False, detail, "import what the client wrote, or let lameduck send the load")


def _retry_gate(foreign: Foreign) -> Gate:
    name = "nothing was masked by retries"
    if foreign.masked:
        detail = f"{foreign.masked:,} requests failed at a pod and were answered by another: masked, not mended"
        return Gate(name, False, detail, "test what is not repeated (POST), or turn the hop's retries off for the test")
    if foreign.hides_retries:
        remedy = "one connection per request where the tool can, or let lameduck send the load: it repeats nothing"
        return Gate(name, False, foreign.hides_retries, remedy)
    return Gate(name, True, f"{foreign.kind} repeats nothing unless it was told to")


def _clock_gate(foreign: Foreign) -> Gate:
    name = "its clock is ours"
    if foreign.clock_error is None:
        detail = "who wrote the file, and by which clock, is not known"
        return Gate(name, False, detail, "let lameduck start it: --load-command")
    error = foreign.time_error
    if error > MOST_CLOCK_ERROR:
        detail = f"its times are known to {human(error)} only, {human(MOST_CLOCK_ERROR)} allowed"
        return Gate(name, False, detail, "a file with finer times; and no clock that is set during the run")
    return Gate(name, True, f"one machine, times known to {human(error)}")
