"""The words that every format shares: lanes, counts, percentages, what a finding proposes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from lameduck.core.finding import Finding
from lameduck.core.instants import human
from lameduck.core.proof import Proof, Verdict
from lameduck.report.inert import line

LANES = {"new": "new connections", "reuse": "kept-alive connections", "unknown": "connections not told apart"}
SIGNS = {Verdict.PROVEN: "✓", Verdict.FAILED: "✗", Verdict.INCONCLUSIVE: "?"}


def percent(share: float) -> str:
    """A share as a percentage with as many digits as it needs."""
    if share >= 0.1:
        return f"{share:.0%}"
    if not share:
        return "0%"
    return f"{share:.2%}" if share >= 0.001 else f"{share:.4%}"


SAID = {"reuse": "kept alive", "timeout": "timed out", "unknown": "not told apart"}
"""Names that are said otherwise to people than in JSON."""


def counts(numbers: Mapping[str, int]) -> str:
    """Counts by name, in words: ``812 refused · 3 bad status``."""
    return " · ".join(f"{count:,} {SAID.get(name) or line(name.replace('_', ' '))}" for name, count in numbers.items())


def most_first(numbers: Mapping[str, int]) -> dict[str, int]:
    """The same counts, the largest first."""
    return dict(sorted(numbers.items(), key=lambda item: (-item[1], item[0])))


def numbers(proof: Proof) -> Iterable[tuple[str, str, str]]:
    """The few numbers that carry a proof: name, number, and what it is."""
    yield "requests", f"{proof.requests:,}", counts(proof.requests_by_lane)
    yield "at risk", f"{proof.exposed_requests:,}", f"in the exposed windows of {proof.terminations} terminations"
    yield "lost", f"{proof.failed:,}", counts(most_first(proof.failures_by_kind))
    if proof.sockets:
        yield "WebSockets held", f"{proof.sockets.held:,}", proof.sockets.words()
    yield (
        "95 % bound",
        f"≤ {percent(proof.upper_bound)}",
        f"of requests at risk; {percent(proof.upper_bound_terminations)} of terminations",
    )
    for phase, when in (("baseline", "before"), ("exposed", "during rollouts")):
        times = proof.response_time.get(phase)
        if times is not None and times.total:
            p50, p99 = times.quantile(0.5) or 0, times.quantile(0.99) or 0
            yield f"response {when}", human(p99), f"p99; p50 {human(p50)}, slowest {human(times.maximum)}"
    if proof.lag.maximum is not None:
        least = "≥ " if proof.lag.censored else ""
        yield (
            "propagation lag",
            f"{least}{human(proof.lag.maximum)}",
            f"at most, p50 {human(proof.lag.quantile(0.5) or 0)}, of {len(proof.lag.by_pod)} terminations",
        )
    yield from (("lag by node", longest, words) for longest, words in lag_by_node(proof))


def lag_by_node(proof: Proof) -> Iterator[tuple[str, str]]:
    """The longest lag that each node saw, and the rest in words, where several nodes sent."""
    for node in proof.lag.by_node:
        lag = proof.lag.of_node(node)
        least = "≥ " if lag.censored else ""
        if lag.maximum is not None:
            middle = human(lag.quantile(0.5) or 0)
            yield f"{least}{human(lag.maximum)}", f"from {node}: {middle} in the middle, of {len(lag.by_pod)}"


def heading(finding: Finding) -> str:
    """A finding's name: its code and slug, and the symptom where that is another one."""
    seen = f" (seen as {finding.symptom})" if finding.symptom and finding.symptom != finding.defect.code else ""
    return f"{finding.defect.code} {finding.defect.slug}{seen}"


def snippets(finding: Finding) -> list[tuple[str, str]]:
    """What a finding's fix would write: (language, text)."""
    patches = finding.fix.patches if finding.fix else ()
    return [
        ("bash" if patch.snippet.startswith("#!") else "yaml", patch.snippet.rstrip("\n"))
        for patch in patches
        if patch.snippet
    ]
