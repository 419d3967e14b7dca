"""Lost WebSockets become findings: grouped by what their pod's end says, with the pods and the moments.

Law: a socket that SIGKILL ended has the cause of that SIGKILL, where it is known; every other loss is LD916 itself, and
its evidence says where in the pod's life it happened. A loss away from any termination is said to be that.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from lameduck.core.finding import Finding, ProofSpan
from lameduck.core.instants import MILLISECOND, human
from lameduck.core.sockets import SocketEnd, SocketTally
from lameduck.core.timeline import Milestone, PodHistory
from lameduck.defects import defect
from lameduck.defects.cause import Cause
from lameduck.defects.endings import of_kill
from lameduck.defects.evidence import Evidence
from lameduck.defects.findings import fix_for, numberless, proof_facts

NEAR = 100 * MILLISECOND
"""So near to its pod's end, a socket ended with it."""
EXAMPLES = 3


def of_sockets(tally: SocketTally | None, evidence: Evidence, load_started: int) -> list[Finding]:
    """One finding for each cause, the most frequent first."""
    groups: dict[tuple[str, bool], list[tuple[SocketEnd, Cause]]] = defaultdict(list)
    for end in tally.lost if tally else ():
        cause = _cause(end, evidence)
        groups[cause.code, end.announced].append((end, cause))
    return sorted((_finding(group, evidence, load_started) for group in groups.values()), key=lambda f: -f.count)


def _cause(end: SocketEnd, evidence: Evidence) -> Cause:
    pod = evidence.pods.get(end.pod)
    if end.announced:
        back = "not again" if end.back_after is None else f"only {human(end.back_after)} later"
        return Cause("LD916", "LD916", f"told to come again ({end.code}), and open {back}")
    if end.code:
        return Cause("LD916", "LD916", f"closed with {end.code}, which names a fault")
    if not end.pod:
        return Cause("LD916", "LD916", f"to which pod it was open is not known: {end.reason}")
    if pod is None or not pod.terminated:
        return Cause("LD916", "LD916", f"ended while its pod was not going: {end.reason}")
    killed, exited = pod.at(Milestone.KILLED), pod.at(Milestone.EXITED)
    if killed is not None and end.ended >= killed - NEAR:
        kill = of_kill(pod, evidence)
        return Cause(kill.code, "LD916", kill.because, kill.confidence)
    if exited is not None and end.ended >= exited - NEAR:
        return Cause("LD916", "LD916", f"its pod's process ended{_after_signal(pod, exited)}, no close frame before")
    return Cause("LD916", "LD916", f"no close frame{_after_signal(pod, end.ended)}: {end.reason}")


def _after_signal(pod: PodHistory, at: int) -> str:
    signalled = pod.at(Milestone.STOP_SIGNAL)
    return f" {human(at - signalled)} after the stop signal" if signalled is not None and at >= signalled else ""


def _finding(members: Sequence[tuple[SocketEnd, Cause]], evidence: Evidence, load_started: int) -> Finding:
    ends, cause = [end for end, _ in members], members[0][1]
    number = f"{len(ends):,} WebSocket{'s' * (len(ends) != 1)}"
    stranded = ends[0].announced
    why = "Told to come again, and not open again in time." if stranded else defect("LD916").why
    return Finding(
        defect=defect(cause.code),
        message=f"{number} lost. {why}",
        confidence=cause.confidence,
        locations=(_span(ends),),
        symptom=cause.symptom,
        count=len(ends),
        evidence=tuple(_evidence(members, load_started)),
        fix=None if stranded else fix_for(cause.code, proof_facts(evidence)) or fix_for("LD916", {}),
    )


def _evidence(members: Sequence[tuple[SocketEnd, Cause]], load_started: int) -> Iterator[str]:
    yield from _distinct(cause.because for _, cause in members)
    for end, _ in members[:EXAMPLES]:
        pod = f" ({end.pod})" if end.pod else ""
        when, how_long = human(end.ended - load_started), human(end.ended - end.opened)
        yield f"e.g. socket {end.number} at +{when}, open for {how_long}{pod}"


def _distinct(words: Iterable[str]) -> Sequence[str]:
    return list({numberless(each): each for each in words}.values())[:EXAMPLES]


def _span(ends: Sequence[SocketEnd]) -> ProofSpan:
    pods = tuple(dict.fromkeys(end.pod for end in ends))
    return ProofSpan(pods, "", min(end.ended for end in ends), max(end.ended for end in ends))
