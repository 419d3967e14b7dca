"""What the rollout timeline shows, whatever draws it: a recorded run as columns over time, rows of pods, and failures.

Law: it is the proof's own data and adds no judgement; a failure belongs to the finding that counted it. Every instant
is in nanoseconds from the start of the load. Successes are summed over bins, failures are kept one by one up to
`MOST_FAILURES`, above that evenly sampled within each finding, and `failed` still has the true number.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil

from lameduck.core.instants import MILLISECOND, human
from lameduck.core.join import Joined, stage_of_life
from lameduck.core.proof import Proof
from lameduck.core.recording import LANES
from lameduck.core.run import Run
from lameduck.core.timeline import Event, Milestone, Observation, PodHistory
from lameduck.defects.cause import Cause
from lameduck.defects.judge import Judgement

MOST_FAILURES = 20_000
MOST_SLOW = 400
LEAST_BIN = 50 * MILLISECOND
MOST_BINS = 600
ENOUGH = 40
"""Requests in a bin."""


@dataclass(frozen=True, slots=True)
class Lost:
    """One failed request. `pods` are rows of `Picture.pods`: one that is sure, several candidates, or none."""

    seq: int
    lane: str
    stage: str
    kind: str
    errno: int
    detail: str
    status: int
    start: int
    """Its intended start; the other instants are None where they never came."""
    actual_start: int | None
    connected: int | None
    sent: int | None
    first_byte: int | None
    end: int
    connection: int
    nth_on_connection: int
    idle: int
    local_port: int
    peer: str
    size: int
    pods: tuple[int, ...]
    tie: str
    moment: str
    """Where in its pod's life it failed, in words; "" where the pod is not sure."""
    finding: int
    because: str


@dataclass(frozen=True, slots=True)
class Moment:
    """A milestone of a pod; `words` tells its details."""

    milestone: Milestone
    at: int
    precision: int
    source: str
    words: str


@dataclass(frozen=True, slots=True)
class PodRow:
    """One pod's life: its milestones in order, and the phases between them: (name, from, to)."""

    name: str
    moments: tuple[Moment, ...]
    phases: tuple[tuple[str, int, int], ...]


@dataclass(frozen=True, slots=True)
class Band:
    """One disruption, from its request to its completion (None: it was not seen to complete)."""

    name: str
    start: int
    end: int | None
    completed: bool
    note: str = ""


@dataclass(frozen=True, slots=True)
class Slow:
    """One slow request that was answered."""

    seq: int
    start: int
    took: int
    lane: str
    pod: str


@dataclass(frozen=True, slots=True)
class Picture:
    """The whole timeline. `answered` and `lost` count requests by lane and bin, by their intended start."""

    end: int
    bin: int
    answered: Mapping[str, Sequence[int]]
    lost: Mapping[str, Sequence[int]]
    p50: Sequence[int | None]
    p99: Sequence[int | None]
    slow: Sequence[Slow]
    pods: Sequence[PodRow]
    bands: Sequence[Band]
    stalls: Sequence[tuple[int, int]]
    failures: Sequence[Lost]
    failed: int

    @property
    def bins(self) -> int:
        """How many bins there are."""
        return len(self.p50)


def smooth_bin(run: Run) -> int:
    """A round width of bins (ns) that holds enough requests for a quantile to mean something, at most 600 of them."""
    length = max(run.load_ended - run.load_started, 1)
    least = max(length / MOST_BINS, length * ENOUGH / max(len(run.recording), 1))
    steps = (step * int(10**power) * MILLISECOND for power in range(1, 9) for step in (1, 2, 5))
    return next(step for step in steps if step >= min(least, length) and step >= LEAST_BIN)


def picture(run: Run, judgement: Judgement, bin_width: int | None = None, most: int = MOST_FAILURES) -> Picture:
    """The timeline of a run, in bins of this width (ns; `smooth_bin` if none), about ``most`` failures in full."""
    origin, length = run.load_started, max(run.load_ended - run.load_started, 1)
    width = bin_width or smooth_bin(run)
    count = ceil(length / width)
    answered, lost, times, slow = _requests(run, width, count)
    pods = sorted(judgement.pods.values(), key=_born)
    row = {pod.name: number for number, pod in enumerate(pods)}
    kept = _sample(judgement.cases, judgement.proof, most)
    return Picture(
        end=length,
        bin=width,
        answered=answered,
        lost=lost,
        p50=[_quantile(each, 0.5) for each in times],
        p99=[_quantile(each, 0.99) for each in times],
        slow=slow,
        pods=[_pod(pod, origin, length) for pod in pods],
        bands=bands(run.observations, origin),
        stalls=[(stall.start - origin, stall.start + stall.length - origin) for stall in run.stalls],
        failures=[_lost(case, cause, finding, origin, row) for case, cause, finding in kept],
        failed=len(judgement.cases),
    )


def _requests(
    run: Run, width: int, count: int
) -> tuple[dict[str, list[int]], dict[str, list[int]], list[list[int]], list[Slow]]:
    recording, origin = run.recording, run.load_started
    lanes = range(len(LANES))
    answered, lost = [[0] * count for _ in lanes], [[0] * count for _ in lanes]
    times: list[list[int]] = [[] for _ in range(count)]
    last = count - 1
    for start, end, failure, lane in zip(
        recording.intended_start, recording.finished, recording.failure, recording.lane, strict=True
    ):
        place = min(max((start - origin) // width, 0), last)
        if failure:
            lost[lane][place] += 1
        elif end:
            answered[lane][place] += 1
            times[place].append(end - start)
    for each in times:
        each.sort()
    used = [lane for lane in lanes if any(answered[lane]) or any(lost[lane])]
    by_name = [{LANES[lane].value: table[lane] for lane in used} for table in (answered, lost)]
    return by_name[0], by_name[1], times, _slowest(run, times, width)


def _slowest(run: Run, times: Sequence[Sequence[int]], width: int) -> list[Slow]:
    """The slowest answered requests: each bin's own slowest first, so that no bad second hides the others."""
    recording, origin = run.recording, run.load_started
    share = max(1, MOST_SLOW // max(len(times), 1))
    limits = [each[-min(share, len(each))] if each else 0 for each in times]
    found = [
        (end - start, seq)
        for seq, (start, end, failure) in enumerate(
            zip(recording.intended_start, recording.finished, recording.failure, strict=True)
        )
        if end and not failure and end - start >= limits[min(max((start - origin) // width, 0), len(times) - 1)]
    ]
    texts = recording.names.texts
    return [
        Slow(
            seq,
            recording.intended_start[seq] - origin,
            took,
            LANES[recording.lane[seq]].value,
            texts[recording.served_by[seq]] or texts[recording.routed_to[seq]],
        )
        for took, seq in sorted(found, reverse=True)[:MOST_SLOW]
    ]


def _quantile(ordered: Sequence[int], share: float) -> int | None:
    return ordered[max(0, ceil(share * len(ordered)) - 1)] if ordered else None


Kept = tuple[Joined, Cause, int]


def _sample(cases: Sequence[tuple[Joined, Cause]], proof: Proof, most: int) -> list[Kept]:
    """At most ``most`` cases, each with its finding's number; every finding keeps its even share."""
    index: dict[tuple[str, str], int] = {}
    for number, finding in enumerate(proof.findings):
        index.setdefault((finding.defect.code, finding.symptom), number)
    every = [(case, cause, index.get((cause.code, cause.symptom), -1)) for case, cause in cases]
    if len(every) > most:
        groups: dict[int, list[Kept]] = defaultdict(list)
        for kept in every:
            groups[kept[2]].append(kept)
        # half of a finding's place by its size, half the same for each
        quotas = {
            n: max(1, min(len(g), most * len(g) // len(every) // 2 + most // len(groups) // 2))
            for n, g in groups.items()
        }
        every = [kept for number, group in groups.items() for kept in _even(group, quotas[number])]
    return sorted(every, key=lambda kept: kept[0].exchange.intended_start)


def _even(group: Sequence[Kept], quota: int) -> Iterable[Kept]:
    return (group[place * len(group) // quota] for place in range(quota))


def _lost(case: Joined, cause: Cause, finding: int, origin: int, row: Mapping[str, int]) -> Lost:
    exchange = case.exchange
    failure = exchange.failure
    if failure is None:  # `examine` hands over failures only
        raise ValueError(f"exchange {exchange.seq} did not fail")

    def since(at: int | None) -> int | None:
        return None if at is None else at - origin

    return Lost(
        seq=exchange.seq,
        lane=exchange.lane.value,
        stage=failure.stage.value,
        kind=failure.kind.value,
        errno=failure.errno,
        detail=failure.detail,
        status=exchange.status,
        start=exchange.intended_start - origin,
        actual_start=since(exchange.actual_start),
        connected=since(exchange.connected),
        sent=since(exchange.sent),
        first_byte=since(exchange.first_byte),
        end=(exchange.finished or exchange.intended_start) - origin,
        connection=exchange.connection,
        nth_on_connection=exchange.nth_on_connection,
        idle=exchange.idle,
        local_port=exchange.local_port,
        peer=exchange.peer,
        size=exchange.size,
        pods=tuple(row[pod.name] for pod in case.pods),
        tie=case.tie.value,
        moment=stage_of_life(case.pods[0], case.judged_at) if len(case.pods) == 1 else "",
        finding=finding,
        because=cause.because,
    )


def _born(pod: PodHistory) -> int:
    return min((mark.at for mark in pod.marks.values()), default=0)


_PHASES = (
    ("starting", (Milestone.CREATED, Milestone.STARTED)),
    ("ready", (Milestone.READY, Milestone.ENDPOINT_READY)),
    ("leaving", (Milestone.DELETION_REQUESTED,)),
    ("stopping", (Milestone.STOP_SIGNAL,)),
    ("ended", (Milestone.EXITED, Milestone.KILLED, Milestone.GONE)),
)
"""Each phase begins with the first of its milestones that was seen, and ends where a later one begins."""


def _pod(pod: PodHistory, origin: int, length: int) -> PodRow:
    marks = sorted(pod.marks.items(), key=lambda item: item[1].at)
    moments = tuple(Moment(what, m.at - origin, m.precision, m.source, _details(m.detail)) for what, m in marks)
    begun = [
        (name, min(seen) - origin)
        for name, milestones in _PHASES
        if (seen := [at for m in milestones if (at := pod.at(m)) is not None])
    ]
    ends = [*(at for _, at in begun[1:]), length]
    phases = [(name, at, end) for (name, at), end in zip(begun, ends, strict=True) if name != "ended" and end > at]
    return PodRow(pod.name, moments, tuple(phases))


def _details(detail: Mapping[str, object]) -> str:
    return ", ".join(
        _told(key, value) for key, value in detail.items() if value is not None and value not in ("", [], {})
    )


def _told(key: str, value: object) -> str:
    name = key.replace("_", " ")
    if isinstance(value, bool):
        return name if value else f"not {name}"
    if key.endswith("_ns") and isinstance(value, int):
        return f"{name.removesuffix(' ns')} {human(value)}"
    return f"{name} {', '.join(map(str, value)) if isinstance(value, list | tuple) else value}"


def bands(observations: Iterable[Observation], origin: int) -> list[Band]:
    """Every disruption, in the order of their requests; instants in ns from ``origin``."""
    found: dict[str, Band] = {}
    for seen in observations:
        at = seen.at - origin
        if seen.what is Event.DISRUPTION_REQUESTED:
            found[seen.subject] = Band(seen.subject, at, None, completed=False)
        elif seen.what is Event.DISRUPTION_COMPLETED and seen.subject in found:
            found[seen.subject] = Band(seen.subject, found[seen.subject].start, at, completed=True)
        elif seen.what is Event.DISRUPTION_FAILED and seen.subject in found:
            why = str(seen.detail.get("why", ""))
            found[seen.subject] = Band(seen.subject, found[seen.subject].start, at, completed=False, note=why)
    return sorted(found.values(), key=lambda band: band.start)
