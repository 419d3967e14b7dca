"""Propagation lag: how long connections are still routed to a pod whose endpoint is no longer ready.

Law (docs/verdict.md, "Propagation lag"): lag = last connection *attempt routed* to the pod (accepted, refused or
swallowed) − ENDPOINT_NOT_READY. Where only answers tell who was asked, attempts after a pod's end cannot be seen: if
they were still coming as its listener closed, the value is *censored*, a lower bound. While no endpoint is ready,
kube-proxy falls back to serving, terminating ones (KEP-1669): what is routed then is meant to be, and no lag. Stray
attempts after a silence that is long for this pod's traffic are a dead endpoint that the data plane keeps (LD914), and
no lag either: no preStop outlasts them. The suggested preStop is the longest lag and a second, rounded up, and never
below a floor.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil

from lameduck.core.exchange import Lane
from lameduck.core.histogram import Histogram
from lameduck.core.instants import MILLISECOND, SECOND
from lameduck.core.recording import LANES, Recording
from lameduck.core.timeline import Event, Milestone, Observation, PodHistory

FLOOR_BEHIND_KUBE_PROXY = 3
FLOOR_BEHIND_A_THROTTLED_HOP = 4
"""Behind a hop that takes in endpoint changes every 2 s only (Traefik's default)."""


@dataclass(frozen=True, slots=True)
class Lag:
    """Of all terminations of a run, in nanoseconds; ``by_pod`` has each one."""

    by_pod: Mapping[str, int]
    censored: bool = False
    floor: int = FLOOR_BEHIND_KUBE_PROXY
    by_node: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """The same as seen from each node that sent load, where there was more than one sender."""

    def of_node(self, node: str) -> Lag:
        """What one node saw."""
        return Lag(self.by_node[node], self.censored, self.floor)

    def quantile(self, share: float) -> int | None:
        """The lag that this share of the terminations did not exceed."""
        return Histogram(self.by_pod.values()).quantile(share)

    @property
    def maximum(self) -> int | None:
        """The longest one."""
        return max(self.by_pod.values(), default=None)

    @property
    def suggested_pre_stop(self) -> int | None:
        """Whole seconds a preStop should wait; None where nothing was measured."""
        if self.maximum is None:
            return None
        return max(ceil((self.maximum + SECOND) / SECOND), 5 if self.censored else self.floor)


NEVER = 1 << 62
SILENCE = 2 * SECOND
USUAL = 10
FEW = 0.05
"""After a gap of ten times its usual one, a pod's lag is over where hardly any traffic follows: less than this share of
the usual in `SILENCE`, or in that gap if it is longer."""
ENOUGH = 300 * MILLISECOND
"""A pod that listened this long after its last attempt was not cut short: more would have been seen."""


@dataclass(frozen=True, slots=True)
class Sender:
    """One agent's part of a recording: rows ``first`` to ``last`` (exclusive), sent from ``node``."""

    node: str
    first: int
    last: int


def attempts(
    recording: Recording,
    *,
    each_request: bool = False,
    served: bool = False,
    first: int = 0,
    last: int | None = None,
) -> dict[str, list[int]]:
    """When each connection attempt routed to each pod began, in order. Reused connections are no attempts.

    With ``each_request`` every request is one. With ``served`` the pod that answered stands for one that is not known
    to have been chosen. ``first`` and ``last`` (exclusive) choose rows.
    """
    by_pod: dict[int, list[int]] = defaultdict(list)
    rows = slice(first, last)
    chosen = recording.routed_to[rows]
    if served:
        chosen = array("H", (r or s for r, s in zip(chosen, recording.served_by[rows], strict=True)))
    untold = LANES.index(Lane.UNKNOWN)
    for pod, nth, at, lane in zip(
        chosen, recording.nth_on_connection[rows], recording.actual_start[rows], recording.lane[rows], strict=True
    ):
        if pod and (nth <= 1 or each_request) and at and lane != untold:
            by_pod[pod].append(at)
    return {recording.names.texts[number]: sorted(times) for number, times in by_pod.items()}


def last_routed(times: Sequence[int], not_ready: int) -> int:
    """The last attempt before traffic to a pod fell silent, judged from when its endpoint stopped being ready.

    ``times`` are its attempts in order (ns), at least one.
    """
    before = times[: bisect_right(times, not_ready)]
    after = times[len(before) :]
    recent = [at for at in before if at >= not_ready - 5 * SECOND]
    usual = (recent[-1] - recent[0]) // (len(recent) - 1) if len(recent) > USUAL else None
    last = before[-1] if before else not_ready
    for n, at in enumerate(after):
        since = max(last, not_ready)
        if usual is not None and at - since > USUAL * usual:
            span = max(SILENCE, USUAL * usual)
            if (bisect_right(after, since + span) - n) * usual < FEW * span:
                break
        last = at
    return last


def fallback_spans(observations: Iterable[Observation]) -> list[tuple[int, int]]:
    """When the node's table held terminating endpoints on purpose, since no endpoint was ready: (from, to) in ns."""
    spans: list[tuple[int, int]] = []
    since: int | None = None
    end = 0
    for seen in observations:
        end = max(end, seen.at)
        if seen.what is not Event.ROUTES_CHANGED:
            continue
        if seen.detail.get("fallback"):
            since = seen.at if since is None else since
        elif since is not None:
            spans.append((since, seen.at))
            since = None
    return spans if since is None else [*spans, (since, end)]


def unready_spans(pods: Iterable[PodHistory]) -> list[tuple[int, int]]:
    """When no endpoint was ready, by what the EndpointSlice said: (from, to) in ns. A data plane then falls back."""
    changes: list[tuple[int, int]] = []
    for pod in pods:
        ready, not_ready = pod.at(Milestone.ENDPOINT_READY), pod.at(Milestone.ENDPOINT_NOT_READY)
        if ready is not None:
            changes.append((ready, 1))
            if not_ready is not None:
                changes.append((not_ready, -1))
    spans: list[tuple[int, int]] = []
    count, since = 0, None
    for at, change in sorted(changes, key=lambda each: (each[0], -each[1])):
        count += change
        if not count:
            since = at
        elif since is not None:
            spans.append((since, at))
            since = None
    return spans if since is None else [*spans, (since, NEVER)]


def measure(
    pods: Iterable[PodHistory],
    recording: Recording,
    spans: Iterable[tuple[int, int]] = (),
    *,
    routes_known: bool = True,
    tied: Mapping[str, Sequence[int]] | None = None,
    senders: Sequence[Sender] = (),
    floor: int = FLOOR_BEHIND_KUBE_PROXY,
    each_request: bool = False,
) -> Lag:
    """The lag of every termination whose endpoint was seen to leave, ``spans`` of deliberate fallback left out.

    ``each_request``: a hop in front routes every request anew, so that those on reused connections count as well.
    ``routes_known``: the recording names the pod of every attempt, also of one that was refused or swallowed; else who
    answered stands for it, with the failed attempts of ``tied`` (instants by pod). ``senders`` are the parts of the
    recording that came from different nodes.
    """
    gone, meant = [pod for pod in pods if pod.terminated], list(spans)
    how = {"each_request": each_request, "served": not routes_known}
    tried = attempts(recording, **how)
    for name, times in (tied or {}).items():
        tried[name] = sorted([*tried.get(name, ()), *times])
    lags, censored = _lags(gone, tried, meant)
    by_node: dict[str, dict[str, int]] = {}
    for node in sorted({sender.node for sender in senders}):
        own: dict[str, list[int]] = defaultdict(list)
        for part in senders:
            if part.node == node:
                seen = attempts(recording, **how, first=part.first, last=part.last)
                for name, times in seen.items():
                    own[name] += times
        by_node[node] = _lags(gone, {name: sorted(times) for name, times in own.items()}, meant)[0]
    return Lag(lags, censored and not routes_known, floor, by_node)


def _lags(
    pods: Iterable[PodHistory], tried: Mapping[str, Sequence[int]], meant: Sequence[tuple[int, int]]
) -> tuple[dict[str, int], bool]:
    """Each pod's lag, and whether any pod ended while attempts were still coming."""
    lags: dict[str, int] = {}
    censored = False
    for pod in pods:
        not_ready = pod.at(Milestone.ENDPOINT_NOT_READY)
        if not_ready is None or pod.name not in tried:
            continue
        last = last_routed(tried[pod.name], not_ready)
        if not any(start <= last and end >= not_ready for start, end in meant):
            lags[pod.name] = max(0, last - not_ready)
            censored |= _cut_short(pod, last)
    return lags, censored


def _cut_short(pod: PodHistory, last: int) -> bool:
    """Whether it ended so soon after the last attempt that more may have come and found nobody."""
    marks = [pod.marks[each] for each in (Milestone.LISTENER_CLOSED, Milestone.EXITED) if each in pod.marks]
    return not marks or min(mark.at - mark.precision for mark in marks) - last < ENOUGH
