"""What the rules of diagnosis may look at, gathered once from the recording and the pods' histories.

Law: everything here was seen. Nothing is inferred from what is usual; a fact that was not observed is absent, and a
rule that would need it does not match.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from lameduck.core.exchange import Exchange, Lane
from lameduck.core.instants import MILLISECOND, SECOND
from lameduck.core.join import judged_at
from lameduck.core.lag import Lag
from lameduck.core.proof import Stall
from lameduck.core.recording import CLOSE_ANNOUNCED, LANES, Recording
from lameduck.core.statistics import fisher
from lameduck.core.timeline import Milestone, PodHistory
from lameduck.core.windows import Window, Windows

Signature = tuple[Lane, str, str, int]
"""Lane, stage, kind and status of a failure: what makes two failures alike."""

LIKE_RATE = 0.01
CATCHING_UP = 50 * MILLISECOND
"""How soon (ns) after a stall of its own the engine has read what came meanwhile."""
SETTLED_APART = 50 * MILLISECOND
"""A listener seen to close this long before SIGKILL was closed by the app, not by its end."""


def signature(exchange: Exchange) -> Signature:
    """The failed exchange's signature. Raises `ValueError` for one that did not fail."""
    if exchange.failure is None:
        raise ValueError(f"exchange {exchange.seq} did not fail")
    return exchange.lane, exchange.failure.stage.value, exchange.failure.kind.value, exchange.status


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that was seen of one run, ready to be asked.

    ``facts`` are the cluster's: ``strategy`` (``RollingUpdate`` or ``Recreate``), ``pre_stop_delay`` and ``grace``
    (ns), and whatever else the port knows.
    """

    pods: Mapping[str, PodHistory]
    lag: Lag
    baseline: Window
    facts: Mapping[str, Any] = field(default_factory=dict)
    reactions: Mapping[str, str] = field(default_factory=dict)
    """How each pod reacted to its stop signal, in words; pods that were not seen to react are absent."""
    baseline_failures: Mapping[Signature, int] = field(default_factory=dict)
    baseline_totals: Mapping[Lane, int] = field(default_factory=dict)
    exposed_failures: Mapping[Signature, int] = field(default_factory=dict)
    exposed_totals: Mapping[Lane, int] = field(default_factory=dict)
    pods_name_themselves: bool = False
    """Whether answers have a header that says which pod gave them."""
    last_answers: Mapping[str, int] = field(default_factory=dict)
    """When each pod was last seen to begin an answer."""
    answered_wrong_before: frozenset[tuple[str, int]] = frozenset()
    """(pod, status) of unexpected answers given by pods that had not been told to stop."""
    stalls: Sequence[Stall] = ()
    """When our own process stood still: what happened meanwhile it noticed afterwards."""

    def at_the_earliest(self, noticed: int) -> int:
        """When (an instant) what we noticed then may have happened: earlier only if we had been standing still."""
        until = noticed - CATCHING_UP
        return min(
            (s.start for s in self.stalls if s.start <= noticed and until <= s.start + s.length), default=noticed
        )

    @property
    def late(self) -> int:
        """From when on (ns after the endpoint left) a routed connection is no lag any more: max(3 s, 2 x p95)."""
        return max(3 * SECOND, 2 * (self.lag.quantile(0.95) or 0))

    def broken_before(self, exchange: Exchange) -> bool:
        """Whether failures like this one were there in the baseline, at a like rate."""
        before, likeness = self._like(signature(exchange))
        return before > 0 and likeness >= LIKE_RATE

    def _like(self, kind: Signature) -> tuple[int, float]:
        """How many of its kind the baseline had, and how well chance explains the difference (p)."""
        # of an imported load few connections are told: then all lanes are one
        untold = Lane.UNKNOWN in self.baseline_totals or Lane.UNKNOWN in self.exposed_totals

        def of(failures: Mapping[Signature, int], totals: Mapping[Lane, int]) -> tuple[int, int]:
            alike = sum(n for one, n in failures.items() if one[1:] == kind[1:] and (untold or one[0] is kind[0]))
            return alike, max(alike, sum(n for lane, n in totals.items() if untold or lane is kind[0]))

        before = of(self.baseline_failures, self.baseline_totals)
        return before[0], _fisher(*before, *of(self.exposed_failures, self.exposed_totals))


_fisher = lru_cache(256)(fisher)
"""Thousands of failures have few signatures."""


def gather(
    recording: Recording,
    pods: Mapping[str, PodHistory],
    lag: Lag,
    baseline: Window,
    exposed: Windows,
    facts: Mapping[str, Any],
    stalls: Sequence[Stall] = (),
) -> Evidence:
    """The evidence of one run."""
    failed = list(recording.failed_exchanges())
    baseline_totals, exposed_totals = _totals(recording, baseline, exposed)
    return Evidence(
        pods=pods,
        lag=lag,
        baseline=baseline,
        facts=facts,
        reactions=_reactions(recording, pods.values()),
        baseline_failures=Counter(signature(e) for e in failed if judged_at(e) in baseline),
        baseline_totals=baseline_totals,
        exposed_failures=Counter(signature(e) for e in failed if judged_at(e) in exposed),
        exposed_totals=exposed_totals,
        pods_name_themselves=any(recording.served_by),
        last_answers=_last_answers(recording),
        answered_wrong_before=frozenset(_wrong_before(failed, pods)),
        stalls=stalls,
    )


def _last_answers(recording: Recording) -> dict[str, int]:
    last: dict[int, int] = {}
    for served, routed, first in zip(recording.served_by, recording.routed_to, recording.first_byte, strict=True):
        pod = served or routed
        if pod and first > last.get(pod, 0):
            last[pod] = first
    return {recording.names.texts[pod]: at for pod, at in last.items()}


def _totals(recording: Recording, baseline: Window, exposed: Windows) -> tuple[Counter[Lane], Counter[Lane]]:
    before: Counter[Lane] = Counter()
    during: Counter[Lane] = Counter()
    for start, lane in zip(recording.intended_start, recording.lane, strict=True):
        if start in baseline:
            before[LANES[lane]] += 1
        elif start in exposed:
            during[LANES[lane]] += 1
    return before, during


def _wrong_before(failed: Iterable[Exchange], pods: Mapping[str, PodHistory]) -> Iterable[tuple[str, int]]:
    for exchange in failed:
        pod = pods.get(exchange.served_by or exchange.routed_to)
        if pod is not None and exchange.status:
            stop = pod.marks.get(Milestone.STOP_SIGNAL)
            if stop is None or judged_at(exchange) < stop.at - stop.precision:
                yield pod.name, exchange.status


def _reactions(recording: Recording, pods: Iterable[PodHistory]) -> dict[str, str]:
    """How each pod reacted to its stop signal: a closed listener, a 503, or a ``Connection: close``."""
    stops = {pod.name: stop for pod in pods if (stop := pod.at(Milestone.STOP_SIGNAL)) is not None}
    seen = {name: told for pod in pods if (name := pod.name) in stops and (told := _closed_listener(pod))}
    seen.update((name, told) for name, told in _answers(recording, stops).items() if name not in seen)
    return seen


def _closed_listener(pod: PodHistory) -> str:
    stop, closed = pod.at(Milestone.STOP_SIGNAL), pod.at(Milestone.LISTENER_CLOSED)
    ends = [mark for each in (Milestone.KILLED, Milestone.EXITED) if (mark := pod.marks.get(each)) is not None]
    # Seen through the API an end comes late: it was up to its precision earlier.
    end = min((mark.at - mark.precision for mark in ends), default=1 << 62)
    if stop is None or closed is None or closed > end - SETTLED_APART:
        return ""
    return f"its listener closed {(closed - stop) / MILLISECOND:.0f} ms after the stop signal"


def _answers(recording: Recording, stops: Mapping[str, int]) -> dict[str, str]:
    told: dict[str, str] = {}
    always: set[str] = set()
    texts = recording.names.texts
    for seq, (served, routed, first) in enumerate(
        zip(recording.served_by, recording.routed_to, recording.first_byte, strict=True)
    ):
        name = texts[served] if texts[served] in stops else texts[routed]
        if name not in stops or not first:
            continue
        announced = recording.flags[seq] & CLOSE_ANNOUNCED
        if first < stops[name]:
            if announced:
                always.add(name)
        elif recording.status[seq] == 503:
            told.setdefault(name, "it answered 503 after the stop signal")
        elif announced and name not in always:
            told.setdefault(name, "it answered with Connection: close after the stop signal")
    return told
