"""The verdict: PROVEN, FAILED or INCONCLUSIVE, by the gates of docs/verdict.md.

Law: one exchange failed by the target makes FAILED, whatever else is wrong; PROVEN needs every gate; everything else is
INCONCLUSIVE and names what fell. What is ours (NOT_SENT, a time-out that overlaps an own stall) is never booked on the
target. A verdict is evidence or it is nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from lameduck.core.exchange import Exchange, Kind, Lane
from lameduck.core.finding import Finding
from lameduck.core.histogram import Histogram
from lameduck.core.instants import MILLISECOND, SECOND, human, to_ms
from lameduck.core.lag import Lag
from lameduck.core.statistics import upper_bound
from lameduck.core.timeline import PodHistory
from lameduck.core.windows import Window

if TYPE_CHECKING:
    from lameduck.core.sockets import SocketTally

STALL_THAT_EXCUSES = 100 * MILLISECOND
STALL_THAT_SPOILS = 200 * MILLISECOND
MOST_START_DELAY = 20 * MILLISECOND
LEAST_SENT = 0.99
LEAST_SENT_IN_A_SECOND = 0.95
MOST_CLOCK_ERROR = 20 * MILLISECOND
LEAST_ATTEMPTS = 20
"""Of lane ``new``, in the first two seconds of a termination."""


class Verdict(StrEnum):
    """What a run says about the claim "a rollout loses no request"."""

    PROVEN = "PROVEN"
    FAILED = "FAILED"
    INCONCLUSIVE = "INCONCLUSIVE"


@dataclass(frozen=True, slots=True)
class Gate:
    """One condition of PROVEN: whether it held, in words, and what to do if it did not."""

    name: str
    held: bool
    detail: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Stall:
    """Our own event loop did not run from ``start`` for ``length`` (ns)."""

    start: int
    length: int

    def overlaps(self, start: int, end: int) -> bool:
        """Whether it fell into a span of time."""
        return self.start <= end and start <= self.start + self.length


@dataclass(frozen=True, slots=True)
class Termination:
    """One pod's going, with what the gates ask of it."""

    pod: PodHistory
    window: Window
    complete: bool
    """Deletion, endpoint not ready, exit or gone: all seen."""
    attempts: int
    """Attempts of lane ``new`` in the first two seconds, to whichever pod."""
    kept_open: int | None
    """Connections of lane ``reuse`` open to the pod at its deletion; None where that cannot be known."""


@dataclass(frozen=True, slots=True)
class Proof:
    """A run, judged. Times in nanoseconds; `as_dict` has the documented JSON form in milliseconds."""

    verdict: Verdict
    sentence: str
    requests: int
    exposed_requests: int
    failed: int
    failures_by_kind: Mapping[str, int]
    failures_by_stage: Mapping[str, int]
    failures_by_lane: Mapping[str, int]
    requests_by_lane: Mapping[str, int]
    findings: Sequence[Finding]
    gates: Sequence[Gate]
    rollouts_asked: int
    rollouts_completed: int
    terminations: int
    upper_bound: float
    upper_bound_terminations: float
    lag: Lag
    suggested_pre_stop: int | None
    arithmetic: str
    """How the suggested preStop fits the grace period, in words."""
    response_time: Mapping[str, Histogram]
    """By phase: ``baseline`` and ``exposed``."""
    start_delay: Histogram
    stalls: Sequence[Stall]
    not_sent: int
    closed_idle: int
    masked: int = 0
    """Requests that a hop in front sent a second time, so that the client saw no failure."""
    rollout_times: Sequence[int] = ()
    """How long each completed rollout took (ns), until its last old pod was gone."""
    disruption: str = "rollout"
    sockets: SocketTally | None = None
    """The WebSockets that were held; None where none was."""
    notes: Sequence[str] = ()
    imported: Mapping[str, Any] | None = None
    """Whose load it was, where it was not ours: `lameduck.core.foreign.Foreign` in JSON types."""
    run: Mapping[str, Any] = field(default_factory=dict)
    """Where the run is kept, versions, the command to reproduce it."""

    def as_dict(self) -> dict[str, Any]:
        """The documented, versioned JSON form (docs/proof-schema.json)."""
        return {
            "schema": "lameduck.proof/1",
            "verdict": self.verdict.value,
            "sentence": self.sentence,
            "requests": self.requests,
            "exposed_requests": self.exposed_requests,
            "failed": self.failed,
            "masked_by_retries": self.masked,
            "upper_bound_95": self.upper_bound,
            "upper_bound_95_terminations": self.upper_bound_terminations,
            "disruption": self.disruption,
            "rollouts": {
                "asked": self.rollouts_asked,
                "completed": self.rollouts_completed,
                "seconds": [round(time / SECOND, 3) for time in self.rollout_times],
            },
            "terminations": self.terminations,
            "failures_by_kind": dict(self.failures_by_kind),
            "failures_by_stage": dict(self.failures_by_stage),
            "failures_by_lane": dict(self.failures_by_lane),
            "requests_by_lane": dict(self.requests_by_lane),
            "findings": [finding.as_dict() for finding in self.findings],
            "validity": {
                "gates": [
                    {"name": g.name, "held": g.held, "detail": g.detail, "remedy": g.remedy or None} for g in self.gates
                ],
                "start_delay_ms": quantiles(self.start_delay),
                "stalls": [{"at_ns": s.start, "ms": to_ms(s.length)} for s in self.stalls],
                "not_sent": self.not_sent,
                "closed_idle": self.closed_idle,
            },
            "propagation_lag_ms": {
                **_lag(self.lag),
                "by_node": {node: _lag(self.lag.of_node(node)) for node in self.lag.by_node},
            },
            "suggested_pre_stop_seconds": self.suggested_pre_stop,
            "arithmetic": self.arithmetic,
            "response_time_ms": {phase: quantiles(h) for phase, h in self.response_time.items()},
            "sockets": self.sockets.as_dict() if self.sockets else None,
            "notes": list(self.notes),
            "imported": dict(self.imported) if self.imported is not None else None,
            "run": dict(self.run),
        }


def quantiles(histogram: Histogram) -> dict[str, float | int | None]:
    """p50, p99, max (ms) and n of some durations."""
    return {
        "p50": _ms(histogram.quantile(0.5)),
        "p99": _ms(histogram.quantile(0.99)),
        "max": _ms(histogram.maximum if histogram.total else None),
        "n": histogram.total,
    }


def _lag(lag: Lag) -> dict[str, float | int | None]:
    return {
        "p50": _ms(lag.quantile(0.5)),
        "p95": _ms(lag.quantile(0.95)),
        "max": _ms(lag.maximum),
        "n": len(lag.by_pod),
        "censored": lag.censored,
    }


def _ms(value: int | None) -> float | None:
    return None if value is None else to_ms(value)


def booked(exchange: Exchange, stalls: Iterable[Stall]) -> bool:
    """Whether a failed exchange is the target's: not unsent by us, not a time-out that our own stall overlaps."""
    failure = exchange.failure
    if failure is None or failure.kind is Kind.NOT_SENT:
        return False
    if failure.kind is not Kind.TIMEOUT:
        return True
    start, end = exchange.actual_start or exchange.intended_start, exchange.finished or exchange.intended_start
    return not any(stall.length >= STALL_THAT_EXCUSES and stall.overlaps(start, end) for stall in stalls)


def tally(failed: Iterable[Exchange]) -> tuple[Counter[str], Counter[str], Counter[str]]:
    """How many failed by kind, by stage and by lane."""
    kinds: Counter[str] = Counter()
    stages: Counter[str] = Counter()
    lanes: Counter[str] = Counter()
    for exchange in failed:
        if exchange.failure is not None:
            kinds[exchange.failure.kind.value] += 1
            stages[exchange.failure.stage.value] += 1
            lanes[exchange.lane.value] += 1
    return kinds, stages, lanes


def completion_gate(asked: int, completed: int, terminations: Sequence[Termination]) -> Gate:
    """Gate 1: every disruption asked for was observed to complete."""
    name = "every rollout observed to complete"
    if not asked:
        return Gate(name, False, "nothing was rolled: a control run", "ask for rollouts: --rollouts 3")
    unseen = [t.pod.name for t in terminations if not t.complete]
    if completed < asked:
        return Gate(name, False, f"{completed} of {asked} completed", "see why the rollout hangs; then prove again")
    if not terminations or unseen:
        detail = f"the end of {', '.join(unseen) or 'any pod'} was not seen"
        return Gate(name, False, detail, "keep the observer connected until the last old pod is gone")
    return Gate(name, True, f"{completed} of {asked}, {len(terminations)} pods seen to go")


def sending_gate(planned: int, unsent: int, seconds: Mapping[int, tuple[int, int]]) -> Gate:
    """Gate 2: the plan was sent. ``seconds`` has (planned, sent) for each second of an exposed window."""
    name = "the plan was sent"
    remedy = "ask for a lower rate (--qps), or give the engine a quieter machine"
    sent = (planned - unsent) / planned if planned else 0.0
    if not planned:
        return Gate(name, False, "no traffic was sent: nothing is proven", "--qps 100")
    if sent < LEAST_SENT:
        return Gate(name, False, f"{sent:.1%} of {planned:,} requests", remedy)
    thin = [second for second, (due, done) in seconds.items() if done < LEAST_SENT_IN_A_SECOND * due]
    if thin:
        return Gate(name, False, f"less than 95 % in {len(thin)} seconds of an exposed window", remedy)
    lost = sum(due - done for due, done in seconds.values())
    if lost:
        return Gate(name, False, f"{lost} requests in exposed windows could not be sent", remedy)
    return Gate(name, True, f"{planned:,} requests, each second of an exposed window whole")


def punctuality_gate(delays: Histogram, stalls: Iterable[Stall], windows: Sequence[Window]) -> Gate:
    """Gate 3: start delay p99 ≤ 20 ms, and no own stall ≥ 200 ms in an exposed window."""
    name = "the engine was on time"
    remedy = "close what else uses the processors, or ask for a lower rate (--qps)"
    p99 = delays.quantile(0.99)
    if p99 is None or p99 > MOST_START_DELAY:
        return Gate(name, False, f"start delay p99 {'unknown' if p99 is None else human(p99)}, 20 ms allowed", remedy)
    still = stall_gate(stalls, windows)
    if not still.held:
        return still
    return Gate(name, True, f"start delay p99 {human(p99)}, {still.detail}")


def stall_gate(stalls: Iterable[Stall], windows: Sequence[Window]) -> Gate:
    """The second half of gate 3, all of it where the load passed through us and was not sent by us."""
    name = "the engine was on time"
    long = [s for s in stalls if s.length >= STALL_THAT_SPOILS and any(s.overlaps(w.start, w.end) for w in windows)]
    if long:
        worst = max(stall.length for stall in long)
        remedy = "close what else uses the processors, or ask for a lower rate (--qps)"
        return Gate(name, False, f"it stalled for {human(worst)} in an exposed window, 200 ms allowed", remedy)
    return Gate(name, True, "no stall of 200 ms in an exposed window")


def coverage_gate(terminations: Sequence[Termination], lanes: Iterable[Lane], *, reused: bool) -> Gate:
    """Gate 4: every termination was asked enough, on both lanes. ``reused``: whether any connection was used twice."""
    name = "every termination was under load"
    used = set(lanes)
    if Lane.NEW in used:
        least = min((t.attempts for t in terminations), default=0)
        if terminations and least < LEAST_ATTEMPTS:
            detail = f"only {least} new connections in the first 2 s of a termination, {LEAST_ATTEMPTS} needed"
            return Gate(name, False, detail, "a higher rate: --qps 50 or more")
    if Lane.REUSE in used:
        bare = [t.pod.name for t in terminations if t.kept_open == 0]
        if bare and not reused:
            detail = "the server keeps no connection alive, so the lane of kept-alive ones proved nothing"
            return Gate(name, False, detail, "prove what there is: --lanes new")
        if bare:
            detail = f"no kept-alive connection was open to {_some(bare)} at its deletion"
            return Gate(name, False, detail, "a higher rate, so that every pod holds one; or --lanes new")
    return Gate(name, bool(terminations), f"{len(terminations)} terminations" if terminations else "none was seen")


def masked_gate(masked: int) -> list[Gate]:
    """A gate that falls where a hop's retries hid losses (case C77); where none did, there is nothing to say."""
    if not masked:
        return []
    detail = f"{masked:,} requests were sent a second time by a hop: a client whose requests it repeats not loses them"
    remedy = "test what is not repeated (--method POST), or turn the hop's retries off for the test"
    return [Gate("nothing was masked by retries", False, detail, remedy)]


def sight_gate(gaps: Iterable[tuple[int, int]], windows: Sequence[Window]) -> Gate:
    """Gate 5: no blind interval that could hide a milestone lies over an exposed window."""
    blind = [(start, end) for start, end in gaps if any(start <= w.end and w.start <= end for w in windows)]
    if blind:
        longest = max(end - start for start, end in blind)
        detail = f"the watch was blind for {human(longest)} in an exposed window"
        return Gate("nothing was missed", False, detail, "a steadier connection to the API server")
    return Gate("nothing was missed", True, "the watch had no gap in an exposed window")


def agents_gate(agents: Sequence[Mapping[str, Any]]) -> Gate:
    """Gate 6: clocks of agents and driver ≤ 20 ms apart at worst, every agent's record whole."""
    name = "every agent's record is whole, and its clock known"
    lost = [str(each["name"]) for each in agents if not each["whole"]]
    if lost:
        why = next((str(each["why"]) for each in agents if not each["whole"] and each.get("why")), "")
        return Gate(name, False, f"that of {_some(lost)} is missing{': ' + why if why else ''}", "prove again")
    worst = max(int(each["clock_error"]) for each in agents)
    told = f"{len(agents)} agent{'s' * (len(agents) != 1)}, clocks known to {human(worst)}"
    if worst > MOST_CLOCK_ERROR:
        return Gate(name, False, f"{told}, 20 ms allowed", "a quicker way to the API server, or drive from inside")
    return Gate(name, True, told)


def decide(failed: int, gates: Iterable[Gate]) -> Verdict:
    """The verdict: one failure makes FAILED; PROVEN needs every gate."""
    if failed:
        return Verdict.FAILED
    return Verdict.PROVEN if all(gate.held for gate in gates) else Verdict.INCONCLUSIVE


def sentence(
    verdict: Verdict,
    failed: int,
    exposed: int,
    requests: int,
    terminations: int,
    lanes: Iterable[Lane],
    disruption: str,
    masked: int = 0,
    sockets: SocketTally | None = None,
    *,
    ends_pods: bool = True,
) -> str:
    """The verdict as one sentence, with both bounds, the lanes, the disruption's name, and what retries masked."""
    how = _connections(lanes)
    what = "terminations" if ends_pods else "such disruptions"
    pods = f"{terminations} pod termination{'s' * (terminations != 1)}" if ends_pods else "no pod was to end"
    if verdict is Verdict.FAILED:
        as_well = (
            f" and {len(sockets.lost):,} WebSockets ({sockets.held:,} held at a time)"
            if sockets and sockets.lost
            else ""
        )
        were = "was" if failed == 1 and not as_well else "were"
        return f"{failed:,} of {requests:,} requests{as_well} {were} lost ({disruption}, {how}, {pods})"
    hidden = f"; {masked:,} more would have been but for a hop's retry: masked, not mended" if masked else ""
    bound, bound_pods = upper_bound(0, exposed), upper_bound(0, terminations)
    if verdict is Verdict.PROVEN:
        as_well = f" and no WebSocket ({sockets.held:,} held at a time)" if sockets else ""
        return (
            f"0 of {exposed:,} requests in exposed windows{as_well} were lost ({disruption}, {how}, {pods}); "
            f"at 95 % confidence that leaves at most {_rate(bound)} of requests and {bound_pods:.0%} of {what}"
            f"{hidden}"
        )
    return f"0 of {requests:,} requests were lost, but that proves nothing yet ({disruption}, {how}, {pods}){hidden}"


def _connections(lanes: Iterable[Lane]) -> str:
    used = set(lanes)
    if not used or Lane.UNKNOWN in used:
        return "connections not told apart"
    names = {Lane.NEW: "new", Lane.REUSE: "kept-alive"}
    return " and ".join(names[lane] for lane in Lane if lane in used) + " connections"


def _rate(share: float) -> str:
    return f"{share:.2%}" if share >= 0.001 else f"1 in {1 / share:,.0f}"


def _some(names: Sequence[str], most: int = 3) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def pre_stop_arithmetic(lag: Lag, grace: int, pre_stop_delay: int) -> str:
    """How the suggested preStop comes about and what it leaves of the grace period."""
    suggested = lag.suggested_pre_stop
    if suggested is None or lag.maximum is None:
        return ""
    least = "at least " if lag.censored else ""
    why = f"lag {'≥ ' if lag.censored else ''}{human(lag.maximum)} + 1 s, rounded up, and never below {lag.floor} s"
    left = grace // SECOND - suggested
    fits = f"a grace period of {grace // SECOND} s leaves {left} s for the drain"
    if left < 2:
        fits = f"the grace period of {grace // SECOND} s is too small for it: {suggested + 10} s would leave 10 s"
    now = f" (now {pre_stop_delay // SECOND} s)" if pre_stop_delay else ""
    return f"preStop {least}{suggested} s{now}: {why}; {fits}"
