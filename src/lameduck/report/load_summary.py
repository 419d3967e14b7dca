"""What a run of `lameduck load` was, in numbers that can be added up over several workers.

Law: response times are those of whole answers, right or wrong; a request that got none is counted as failed, not
averaged. What is ours (not sent, a time-out within an own stall) is kept apart and never counted as failed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from lameduck.core.exchange import Failure, Kind, Lane, Stage
from lameduck.core.histogram import Histogram
from lameduck.core.instants import MILLISECOND, SECOND, to_ms, to_seconds
from lameduck.core.plan import TrafficPlan
from lameduck.core.proof import LEAST_SENT, MOST_START_DELAY, Stall, booked
from lameduck.core.recording import LANES, Recording
from lameduck.core.statistics import upper_bound


@dataclass(slots=True)
class LoadSummary:
    """Counts and histograms of one run; times in nanoseconds."""

    requests: int = 0
    not_sent: int = 0
    excused: int = 0
    """Time-outs that overlap a stall of our own: nobody can say whose fault they are."""
    by_lane: Counter[Lane] = field(default_factory=Counter)
    failures: Counter[tuple[Lane, Failure]] = field(default_factory=Counter)
    statuses: Counter[int] = field(default_factory=Counter)
    served_by: Counter[str] = field(default_factory=Counter)
    response_time: dict[Lane, Histogram] = field(default_factory=dict)
    connect_time: Histogram = field(default_factory=Histogram)
    start_delay: Histogram = field(default_factory=Histogram)
    sent_in: Counter[int] = field(default_factory=Counter)
    """Requests by the second of their actual start."""
    failed_in: Counter[int] = field(default_factory=Counter)
    """Failed requests by the second of their intended start."""
    stalls: list[Stall] = field(default_factory=list)
    connections: int = 0
    closed_idle: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0
    duration: int = 0

    @property
    def failed(self) -> int:
        """Requests that the target failed."""
        return self.failures.total()

    @property
    def overall(self) -> Histogram:
        """Response times of all lanes."""
        whole = Histogram()
        for each in self.response_time.values():
            whole.merge(each)
        return whole

    @property
    def troubles(self) -> list[str]:
        """Why the engine did not keep the plan, in words; empty if it did."""
        found = []
        if self.requests and self.not_sent > (1 - LEAST_SENT) * self.requests:
            found.append(f"{self.not_sent:,} of {self.requests:,} requests could not be sent")
        p99 = self.start_delay.quantile(0.99)
        if p99 is not None and p99 > MOST_START_DELAY:
            found.append(f"a late start of {to_ms(p99):,.0f} ms at the 99th percentile, 20 ms allowed")
        return found

    def add(self, other: LoadSummary) -> None:
        """Take in another worker's part of the same run."""
        for name in ("requests", "not_sent", "excused", "connections", "closed_idle", "bytes_sent", "bytes_received"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for name in ("by_lane", "failures", "statuses", "served_by", "sent_in", "failed_in"):
            getattr(self, name).update(getattr(other, name))
        for lane, histogram in other.response_time.items():
            self.response_time.setdefault(lane, Histogram()).merge(histogram)
        self.connect_time.merge(other.connect_time)
        self.start_delay.merge(other.start_delay)
        self.stalls.extend(other.stalls)
        self.duration = max(self.duration, other.duration)


def summarize(recording: Recording, stalls: Iterable[tuple[int, int]], started: int, ended: int) -> LoadSummary:
    """The summary of one engine's recording, whose arrivals counted from `started` to `ended` (instants)."""
    own = [Stall(*stall) for stall in stalls]
    summary = LoadSummary(
        requests=len(recording),
        stalls=own,
        connections=max(recording.connection, default=0),
        closed_idle=recording.closed_idle,
        bytes_sent=recording.bytes_sent,
        bytes_received=recording.bytes_received,
        duration=ended - started,
    )
    _count_times(recording, summary, started)
    summary.statuses.update(recording.status)
    del summary.statuses[0]
    texts = recording.names.texts
    summary.served_by.update({texts[number]: count for number, count in Counter(recording.served_by).items() if number})
    for exchange in recording.failed_exchanges():
        assert exchange.failure is not None
        if booked(exchange, own):
            summary.failures[exchange.lane, exchange.failure] += 1
            summary.failed_in[(exchange.intended_start - started) // SECOND] += 1
        elif exchange.failure.kind is Kind.NOT_SENT:
            summary.not_sent += 1
        else:
            summary.excused += 1
    return summary


def _count_times(recording: Recording, summary: LoadSummary, started: int) -> None:
    answered = [failure is None or failure.stage is Stage.VALIDATE for failure in recording.failures]
    histograms = summary.response_time
    rows = zip(
        recording.lane,
        recording.intended_start,
        recording.actual_start,
        recording.connected,
        recording.nth_on_connection,
        recording.finished,
        recording.failure,
        strict=False,
    )
    for number, intended, actual, connected, nth, finished, failure in rows:
        lane = LANES[number]
        summary.by_lane[lane] += 1
        if not actual:
            continue
        summary.start_delay.add(actual - intended)
        summary.sent_in[(actual - started) // SECOND] += 1
        if nth == 1:
            summary.connect_time.add(connected - actual)
        if answered[failure]:
            histogram = histograms.get(lane)
            if histogram is None:
                histogram = histograms[lane] = Histogram()
            histogram.add(finished - intended)


def as_dict(summary: LoadSummary, plan: TrafficPlan, target: str, asked: Sequence[int]) -> dict[str, Any]:
    """The documented, versioned JSON form. `asked` has the planned requests of each second."""
    seconds = to_seconds(summary.duration)
    sent = summary.requests - summary.not_sent
    kinds, stages, lanes = _tallies(summary)
    return {
        "schema": "lameduck.load/1",
        "target": target,
        "requests": summary.requests,
        "failed": summary.failed,
        "upper_bound_95": upper_bound(summary.failed, sent),
        "failures_by_kind": kinds,
        "failures_by_stage": stages,
        "failures_by_lane": lanes,
        "failures": [
            {
                "lane": lane.value,
                "stage": failure.stage.value,
                "kind": failure.kind.value,
                "errno": failure.errno,
                "detail": failure.detail,
                "count": count,
            }
            for (lane, failure), count in summary.failures.most_common()
        ],
        "requests_by_lane": {lane.value: count for lane, count in summary.by_lane.items()},
        "statuses": {str(status): count for status, count in sorted(summary.statuses.items())},
        "served_by": dict(summary.served_by.most_common()),
        "response_time_ms": {
            **_quantiles(summary.overall),
            "by_lane": {lane.value: _quantiles(each) for lane, each in summary.response_time.items()},
        },
        "connect_time_ms": _quantiles(summary.connect_time),
        "rate": {
            "asked": plan.rate,
            "achieved": round(sent / seconds, 3) if seconds else 0.0,
            "per_second": [
                {"asked": due, "sent": summary.sent_in[second], "failed": summary.failed_in[second]}
                for second, due in enumerate(asked)
            ],
        },
        "connections": {"opened": summary.connections, "closed_idle": summary.closed_idle},
        "bytes": {"sent": summary.bytes_sent, "received": summary.bytes_received},
        "duration_seconds": round(seconds, 3),
        "seed": plan.seed,
        "validity": {
            "kept_the_plan": not summary.troubles,
            "troubles": summary.troubles,
            "start_delay_ms": _quantiles(summary.start_delay),
            "stalls": [{"at_ns": stall.start, "ms": to_ms(stall.length)} for stall in summary.stalls],
            "not_sent": summary.not_sent,
            "timeouts_in_own_stalls": summary.excused,
        },
    }


def _tallies(summary: LoadSummary) -> tuple[dict[str, int], dict[str, int], dict[str, int]]:
    kinds: Counter[str] = Counter()
    stages: Counter[str] = Counter()
    lanes: Counter[str] = Counter()
    for (lane, failure), count in summary.failures.items():
        kinds[failure.kind.value] += count
        stages[failure.stage.value] += count
        lanes[lane.value] += count
    return dict(kinds), dict(stages), dict(lanes)


def _quantiles(histogram: Histogram) -> dict[str, float | int | None]:
    """p50, p90, p99, max (ms) and n of some durations."""
    found: dict[str, float | int | None] = {}
    for name, share in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("max", 1.0)):
        value = histogram.quantile(share)
        found[name] = None if value is None else round(value / MILLISECOND, 3)
    return found | {"n": histogram.total}
