"""Failures with the same cause become one finding: counted, located in time, with its evidence and its fix.

Law: a finding's code is the defect where the evidence decided it, else the symptom; its fix is the whole set that the
defect's own file proposes, never a part of it. What lost nothing but will, or costs time, is a finding of its own.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from lameduck.core.exchange import Lane
from lameduck.core.finding import Confidence, Finding, Fix, ProofSpan, Safety, Severity
from lameduck.core.instants import SECOND, human
from lameduck.core.join import Joined, Tie, stage_of_life
from lameduck.core.timeline import Milestone, PodHistory
from lameduck.defects import defect, module
from lameduck.defects.cause import Cause
from lameduck.defects.diagnose import diagnose
from lameduck.defects.endings import of_kill
from lameduck.defects.evidence import Evidence
from lameduck.defects.livefix import against

CLOSING = (
    "Connection: close on answers while the preStop waits (the lame-duck layer): an open connection is never moved"
)
LACKS = {
    "LD103": "",
    "LD107": "a hook that does not stop the server",
    "LD504": "a stop signal that can be caught",
    "LD505": "the signal on which the server drains, as STOPSIGNAL of its image",
    "LD507": "the server itself as PID 1",
    "LD803": "a server that finishes what it has in hand",
    "LD902": "a server that finishes what it has in hand",
    "LD903": "a handler for the stop signal that finishes what it has in hand",
    "LD905": "",
    "LD906": CLOSING,
    "LD912": "",
    "LD913": CLOSING,
}
"""Causes whose own file has no patch, and which a drain window mends, or is one half of mending: the other in words."""
TOO_LONG = 5 * SECOND
EXAMPLES = 3


def of_failures(cases: Iterable[Joined], evidence: Evidence, load_started: int) -> list[Finding]:
    """One finding for each cause, the most frequent first, unexplained ones last."""
    groups: dict[tuple[str, str], list[tuple[Joined, Cause]]] = defaultdict(list)
    for case in cases:
        cause = diagnose(case, evidence)
        groups[cause.code, cause.symptom].append((case, cause))
    findings = [_finding(members, evidence, load_started) for members in groups.values()]
    return sorted(findings, key=lambda f: (f.defect.code == "LD999", -f.count))


def _finding(members: Sequence[tuple[Joined, Cause]], evidence: Evidence, load_started: int) -> Finding:
    cause = members[0][1]
    cases = [case for case, _ in members]
    entry = defect(cause.code)
    what = _kinds(cases)
    symptom = defect(cause.symptom)
    title = entry.title if entry is symptom else f"{symptom.title}: {entry.title[0].lower()}{entry.title[1:]}"
    confidences = [each.confidence for _, each in members]
    number = f"{len(cases):,} request{'s' * (len(cases) != 1)}"
    return Finding(
        defect=entry,
        message=f"{number}: {title}. {entry.why if cause.code != 'LD999' else what}",
        confidence=next(level for level in reversed(Confidence) if level in confidences),
        locations=(_span(cases),),
        symptom=cause.symptom,
        count=len(cases),
        evidence=tuple(_evidence(members, load_started)),
        fix=fix_for(cause.code, proof_facts(evidence, cases)),
    )


def _span(cases: Sequence[Joined]) -> ProofSpan:
    pods = sorted({pod.name for case in cases for pod in case.pods})
    lanes = {case.exchange.lane for case in cases}
    return ProofSpan(
        tuple(pods),
        next(iter(lanes)).value if len(lanes) == 1 else "",
        min(case.exchange.actual_start or case.exchange.intended_start for case in cases),
        max(case.exchange.finished or case.exchange.intended_start for case in cases),
    )


def _kinds(cases: Sequence[Joined]) -> str:
    """The failures by kind and lane, in words: ``812 refused and 180 timed out on new connections``."""
    by_lane: dict[Lane, Counter[str]] = defaultdict(Counter)
    for case in cases:
        failure = case.exchange.failure
        if failure is not None:
            word = f"status {case.exchange.status}" if failure.kind.value == "bad_status" else failure.kind.value
            by_lane[case.exchange.lane][f"{word} at {failure.stage.value}"] += 1
    lanes = {Lane.NEW: " on new connections", Lane.REUSE: " on kept-alive connections", Lane.UNKNOWN: ""}
    return "; ".join(
        ", ".join(f"{count:,} {word}" for word, count in kinds.most_common()) + lanes[lane]
        for lane, kinds in by_lane.items()
    )


def _evidence(members: Sequence[tuple[Joined, Cause]], load_started: int) -> Iterable[str]:
    yield _kinds([case for case, _ in members])
    told = Counter(numberless(cause.because) for _, cause in members)
    first_told = {numberless(cause.because): cause.because for _, cause in reversed(members)}
    for shape, count in told.most_common(EXAMPLES):
        yield f"{count:,} ×: {first_told[shape]}" if len(told) > 1 else first_told[shape]
    yield "e.g. " + describe(members[len(members) // 2][0], load_started)


def numberless(sentence: str) -> str:
    """A sentence without its numbers: what is said, whatever it was measured to be."""
    return "".join("#" if letter.isdigit() or letter == "." else letter for letter in sentence).replace("##", "#")


def describe(case: Joined, load_started: int) -> str:
    """One failed exchange in a line: when, how, which pod, at which moment of its life."""
    exchange = case.exchange
    failure = exchange.failure
    if failure is None:
        return f"request {exchange.seq} did not fail"
    start = exchange.actual_start or exchange.intended_start
    lasted = human((exchange.finished or start) - start)
    who = "no endpoint" if case.tie is Tie.NO_ENDPOINT else " or ".join(pod.name for pod in case.pods) or "unknown pod"
    moment = f", {stage_of_life(case.pods[0], case.judged_at)}" if len(case.pods) == 1 else ""
    how = f"{failure.kind.value.replace('_', ' ')} at {failure.stage.value} after {lasted}"
    return f"request {exchange.seq} at +{(start - load_started) / SECOND:.2f} s: {how} ({who}{moment})"


def proof_facts(evidence: Evidence, cases: Sequence[Joined] = ()) -> dict[str, Any]:
    """What a defect's file needs to write its fix: seconds that fit what was measured."""
    pre_stop = evidence.lag.suggested_pre_stop or 5
    slowest = max((pod_drain(pod) for pod in evidence.pods.values()), default=0)
    grace = max(evidence.facts.get("grace", 30 * SECOND) // SECOND, pre_stop + -(-slowest // SECOND) + 10)
    waits = (evidence.facts.get("pre_stop_delay") or 0) // SECOND
    facts: dict[str, Any] = {"pre_stop_seconds": pre_stop, "grace_seconds": grace, "waits_seconds": waits}
    facts |= {key: evidence.facts[key] for key in ("manifest", "container", "server_version") if key in evidence.facts}
    if evidence.lag.maximum is not None:
        facts["lag_ms"] = evidence.lag.maximum / 1e6
    for case in cases:
        for pod in case.pods:
            signal = pod.marks.get(Milestone.STOP_SIGNAL)
            if signal is not None and signal.detail.get("is_shell"):
                facts["shell"] = signal.detail.get("pid1", "sh")
    return facts


def pod_drain(pod: PodHistory) -> int:
    """How long a pod went on after its stop signal (ns), 0 where that was not seen."""
    stop, exited = pod.at(Milestone.STOP_SIGNAL), pod.at(Milestone.EXITED)
    return 0 if stop is None or exited is None else max(0, exited - stop)


def fix_for(code: str, facts: Mapping[str, Any]) -> Fix | None:
    """The set of changes that mends a defect, as its own file writes it."""
    propose = getattr(module(code), "proof_fix", None)
    fix: Fix | None = propose(facts) if propose else None
    if fix is None and code in LACKS:
        lacks = LACKS[code]
        if lacks and facts["waits_seconds"] >= facts["pre_stop_seconds"]:
            return Fix(f"the preStop is long enough; what is missing is {lacks}", Safety.UNSAFE)
        window: Fix = module("LD101").proof_fix(facts)
        fix = replace(window, title=f"{window.title}, with {lacks}" if lacks else window.title)
    return None if fix is None else against(fix, facts)


def of_survivors(evidence: Evidence, failures: Sequence[Finding]) -> list[Finding]:
    """What lost nothing here and is still worth saying: SIGKILL at the end of grace, a lag past the preStop."""
    found = [_killed_unharmed(evidence, failures), _lag_past_pre_stop(evidence), _waits_too_long(evidence)]
    return [finding for finding in found if finding is not None]


def _killed_unharmed(evidence: Evidence, failures: Sequence[Finding]) -> Finding | None:
    killed = [pod for pod in evidence.pods.values() if Milestone.KILLED in pod.marks]
    if not killed:
        return None
    cause = of_kill(killed[0], evidence)
    if any(finding.symptom in {"LD903", "LD904"} or finding.defect.code == cause.code for finding in failures):
        return None
    why = "had begun to stop" if cause.symptom == "LD904" else "never reacted to the stop signal"
    return Finding(
        defect=defect(cause.code),
        message=f"{len(killed)} pods {why} and were killed at the end of the grace period (137); nothing was lost by "
        "that this time, since nothing was in hand then.",
        confidence=cause.confidence,
        locations=(_pods_span(killed),),
        symptom=cause.symptom,
        count=len(killed),
        evidence=(
            cause.because,
            *(f"{pod.name}: stop signal to SIGKILL {human(pod_drain(pod))}" for pod in killed[:EXAMPLES]),
        ),
        fix=fix_for(cause.code, proof_facts(evidence)),
        severity=Severity.WARNING,
    )


def _pods_span(pods: Sequence[PodHistory]) -> ProofSpan:
    starts = [at for pod in pods if (at := pod.at(Milestone.DELETION_REQUESTED)) is not None]
    ends = [mark.at for pod in pods for mark in pod.marks.values()]
    return ProofSpan(tuple(pod.name for pod in pods), "", min(starts, default=0), max(ends, default=0))


def _lag_past_pre_stop(evidence: Evidence) -> Finding | None:
    delay, lag = evidence.facts.get("pre_stop_delay") or 0, evidence.lag.maximum
    if not delay or lag is None or lag <= delay:
        return None
    late = [pod for name, pod in evidence.pods.items() if evidence.lag.by_pod.get(name, 0) > delay]
    return Finding(
        defect=defect("LD908"),
        message=f"connections were still routed to a pod {human(lag)} after its endpoint had left; the preStop waits "
        f"{human(delay)}.",
        confidence=Confidence.CERTAIN,
        locations=(_pods_span(late),),
        symptom="LD908",
        count=len(late),
        fix=fix_for("LD109", proof_facts(evidence)) or fix_for("LD101", proof_facts(evidence)),
    )


def _waits_too_long(evidence: Evidence) -> Finding | None:
    delay, enough = evidence.facts.get("pre_stop_delay") or 0, evidence.lag.suggested_pre_stop
    pods = [evidence.pods[name] for name in evidence.lag.by_pod]
    if not delay or enough is None or evidence.lag.censored or delay - enough * SECOND < TOO_LONG:
        return None
    return Finding(
        defect=defect("LD911"),
        message=f"the preStop waits {human(delay)}, and {enough} s would have been enough here.",
        confidence=Confidence.POSSIBLE,
        locations=(_pods_span(pods),),
        symptom="LD911",
        count=len(pods),
        evidence=("a busy control plane or a load balancer needs longer: measure there before shortening it",),
    )
