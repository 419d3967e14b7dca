"""Two runs side by side: what became better or worse beyond noise, and what only differs.

Law: a difference counts only where chance is a poor explanation. Losses: by Fisher's exact test (p < 0.05), and, since
they come in clusters (all of a termination's or none), by a permutation of whole terminations too (seconds where none
was seen). Response times: by dealing the seconds of both runs out anew (p < 0.02, since four are looked at), and only a
change of 5 % or more. Single kinds of loss are shown and not graded. A proven claim that is now refuted is worse
whatever the tests say. The same two runs give the same answer: all that is drawn is seeded.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import mean

from lameduck.core.instants import SECOND, human
from lameduck.core.join import judged_at
from lameduck.core.proof import Proof, Verdict
from lameduck.core.run import Run
from lameduck.core.statistics import fisher, lower_bound, upper_bound
from lameduck.core.timeline import Milestone
from lameduck.defects.judge import Judgement
from lameduck.report.bootstrap import Blocks, Interval, difference, permuted, unlike
from lameduck.report.picture import bands
from lameduck.report.words import heading, percent

SIGNIFICANT = 0.05
ONE_OF_FOUR = 0.02
"""Four response times are looked at: one of them being unlike by chance must be rare too."""
LEAST_CHANGE = 0.05


class Grade(StrEnum):
    """What the second run is against the first, in one respect."""

    BETTER = "better"
    WORSE = "worse"
    SAME = "within noise"
    UNGRADED = ""
    """It differs or not; nobody says which is better."""


@dataclass(frozen=True, slots=True)
class Row:
    """One respect: its name, both values and the change in words."""

    name: str
    first: str
    second: str
    grade: Grade = Grade.UNGRADED
    note: str = ""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two runs, compared."""

    rows: Sequence[Row]
    fixed: Sequence[str]
    new: Sequence[str]
    still: Sequence[str]

    @property
    def worse(self) -> bool:
        """Whether the second run is worse beyond noise."""
        return any(row.grade is Grade.WORSE for row in self.rows)

    @property
    def sentence(self) -> str:
        """The result in one sentence."""
        worse, better = ([row.name for row in self.rows if row.grade is grade] for grade in (Grade.WORSE, Grade.BETTER))
        if worse:
            also = f", better in {', '.join(better)}" if better else ""
            return f"B is worse beyond noise: {', '.join(worse)}{also}"
        return f"B is better: {', '.join(better)}" if better else "no difference beyond noise"

    def as_dict(self) -> dict[str, object]:
        """JSON types only."""
        return {
            "schema": "lameduck.comparison/1",
            "worse": self.worse,
            "sentence": self.sentence,
            "rows": [
                {"name": r.name, "a": r.first, "b": r.second, "grade": r.grade.value or None, "note": r.note or None}
                for r in self.rows
            ],
            "findings": {"fixed": list(self.fixed), "new": list(self.new), "still": list(self.still)},
        }


def compare(first: tuple[Run, Judgement], second: tuple[Run, Judgement]) -> Comparison:
    """The second run against the first."""
    a, b = first[1].proof, second[1].proof
    names_a, names_b = _findings(a), _findings(b)
    return Comparison(
        rows=[
            _verdict(a, b),
            Row("requests at risk", f"{a.exposed_requests:,}", f"{b.exposed_requests:,}"),
            _losses(first, second),
            *_kinds(a, b),
            *_times(first, second),
            Row("propagation lag, longest", _duration(a.lag.maximum), _duration(b.lag.maximum)),
            Row("rollouts, mean", _rollouts(first[0]), _rollouts(second[0])),
        ],
        fixed=[name for name in names_a if name not in names_b],
        new=[name for name in names_b if name not in names_a],
        still=[name for name in names_a if name in names_b],
    )


def _findings(proof: Proof) -> Mapping[str, None]:
    return dict.fromkeys(heading(finding) for finding in proof.findings)


def _verdict(a: Proof, b: Proof) -> Row:
    grade, note = Grade.UNGRADED, ""
    if a.verdict is Verdict.PROVEN and b.verdict is Verdict.FAILED:
        grade, note = Grade.WORSE, "a claim that was proven is refuted"
    elif a.verdict is Verdict.FAILED and b.verdict is Verdict.PROVEN:
        grade = Grade.BETTER
    elif Verdict.INCONCLUSIVE in {a.verdict, b.verdict} and a.verdict is not b.verdict:
        note = "an inconclusive run is neither better nor worse"
    return Row("verdict", a.verdict.value, b.verdict.value, grade, note)


def _losses(first: tuple[Run, Judgement], second: tuple[Run, Judgement]) -> Row:
    a, b = first[1].proof, second[1].proof
    one_by_one = fisher(a.failed, max(a.requests, a.failed), b.failed, max(b.requests, b.failed))
    terminations = bool(a.terminations and b.terminations)
    clusters = [_clusters(each[1], terminations=terminations) for each in (first, second)]
    more, less = permuted(*clusters), permuted(*reversed(clusters))
    grade = Grade.SAME
    if one_by_one < SIGNIFICANT and min(more, less) <= SIGNIFICANT:
        grade = Grade.WORSE if more < less else Grade.BETTER
    unit = "terminations" if terminations else "seconds"
    note = f"p = {one_by_one:.2g} by requests, {min(more, less):.2g} by {unit}" if a.failed or b.failed else ""
    return Row("requests lost", _bounded(a.failed, a.requests), _bounded(b.failed, b.requests), grade, note)


def _clusters(judged: Judgement, *, terminations: bool) -> list[float]:
    """Losses by termination (each is the last deletion's before it) or by second, as shares of a second's load."""
    starts = sorted(at for pod in judged.pods.values() if (at := pod.at(Milestone.DELETION_REQUESTED)) is not None)
    if not terminations:
        starts = list(range(judged.counted.start, judged.counted.end, SECOND))
    found = [0.0] * max(1, len(starts))
    share = (judged.counted.end - judged.counted.start) / SECOND / max(1, judged.proof.requests)
    for case, _ in judged.cases:
        found[max(0, bisect_right(starts, judged_at(case.exchange)) - 1)] += share
    return found


def _bounded(count: int, total: int) -> str:
    """A count with the exact 95 % interval of its rate (2.5 % on each side)."""
    if not total:
        return f"{count:,}"
    bounds = lower_bound(count, total, 0.975), upper_bound(count, total, 0.975)
    return f"{count:,} ({' – '.join(map(percent, bounds))})"


def _kinds(a: Proof, b: Proof) -> Iterable[Row]:
    for kind in dict.fromkeys([*a.failures_by_kind, *b.failures_by_kind]):
        one, other = (_bounded(proof.failures_by_kind.get(kind, 0), proof.requests) for proof in (a, b))
        yield Row(f"lost: {kind.replace('_', ' ')}", one, other)


def _times(first: tuple[Run, Judgement], second: tuple[Run, Judgement]) -> Iterable[Row]:
    for phase, during in (("before rollouts", False), ("during rollouts", True)):
        a, b = (_blocks(run, judged, during=during) for run, judged in (first, second))
        for share in (0.5, 0.99):
            name = f"p{share * 100:.0f} {phase}"
            if not a or not b:
                yield Row(name, "–", "–")
                continue
            yield _time_row(name, difference(a, b, share), unlike(a, b, share))


def _time_row(name: str, told: tuple[Interval, Interval, Interval], chance: float) -> Row:
    a, b, change = told
    grade = Grade.SAME
    if abs(change.value) >= LEAST_CHANGE * max(a.value, 1) and chance < ONE_OF_FOUR:
        grade = Grade.WORSE if change.value > 0 else Grade.BETTER
    note = f"{_signed(change.low)} … {_signed(change.high)}, p = {chance:.2g}"
    return Row(name, _interval(a), _interval(b), grade, note)


def _signed(ns: int) -> str:
    return f"{'+' if ns > 0 else ''}{human(ns)}"


def _interval(told: Interval) -> str:
    return f"{human(told.value)} ({human(told.low)} – {human(told.high)})"


def _blocks(run: Run, judged: Judgement, *, during: bool) -> Blocks:
    """The response times of answered requests, in blocks of a second, in or out of exposed windows."""
    blocks = Blocks(run.load_started)
    recording, first = run.recording, run.load_started + run.plan.settle
    for start, end, failure in zip(recording.intended_start, recording.finished, recording.failure, strict=True):
        if end and not failure and start >= first and (start in judged.at_risk) == during:
            blocks.add(start, end - start)
    return blocks


def _duration(ns: int | None) -> str:
    return "–" if ns is None else human(ns)


def _rollouts(run: Run) -> str:
    lasted = [
        band.end - band.start
        for band in bands(run.observations, run.load_started)
        if band.end is not None and band.completed
    ]
    return f"{human(round(mean(lasted)))} (longest {human(max(lasted))})" if lasted else "–"
