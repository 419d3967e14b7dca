"""Propagation lag: how long connections are still routed to a pod whose endpoint is no longer ready.

Law (docs/verdict.md, "Propagation lag"): lag = last connection *attempt routed* to the pod (accepted, refused or
swallowed) − ENDPOINT_NOT_READY. Where attempts after the pod's end cannot be seen the value is *censored*: a lower
bound. While no endpoint is ready, kube-proxy falls back to serving, terminating ones (KEP-1669): what is routed then is
meant to be, and no lag. ``suggested preStop = max(ceil(max lag + 1 s), floor)``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import ceil

from lameduck.core.histogram import Histogram
from lameduck.core.instants import SECOND
from lameduck.core.recording import Recording
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


def last_attempts(recording: Recording) -> dict[str, int]:
    """When the last connection attempt routed to each pod began. Reused connections are no attempts."""
    last: dict[int, int] = {}
    for routed, nth, at in zip(recording.routed_to, recording.nth_on_connection, recording.actual_start, strict=True):
        if routed and nth <= 1 and at > last.get(routed, 0):
            last[routed] = at
    return {recording.names.texts[number]: at for number, at in last.items()}


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


def measure(
    pods: Iterable[PodHistory], recording: Recording, spans: Iterable[tuple[int, int]] = (), *, censored: bool = False
) -> Lag:
    """The lag of every termination whose endpoint was seen to leave, ``spans`` of deliberate fallback left out."""
    last = last_attempts(recording)
    meant = list(spans)
    lags: dict[str, int] = {}
    for pod in pods:
        not_ready = pod.at(Milestone.ENDPOINT_NOT_READY)
        if not pod.terminated or not_ready is None or pod.name not in last:
            continue
        if not any(start <= last[pod.name] and end >= not_ready for start, end in meant):
            lags[pod.name] = max(0, last[pod.name] - not_ready)
    return Lag(lags, censored)
