"""Why each request was lost: the ordered table of docs/verdict.md, "Which evidence decides".

Law: the first rule that matches decides, and a rule matches only on evidence; where a pod is one of several candidates
the cause is decided only if every candidate gives the same one. What a hop in front says it met at the pod is judged in
place of what the client saw: an error answer that the hop made of it is LD907, with the same defect behind it. What no
rule explains is LD999, with what is missing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from lameduck.core.exchange import Behind, Failure, Kind, Stage
from lameduck.core.finding import Confidence
from lameduck.core.instants import MILLISECOND, SECOND, human
from lameduck.core.join import CLOSED_BEFORE, Joined, Tie, stage_of_life
from lameduck.core.timeline import Milestone, PodHistory
from lameduck.defects.cause import (
    CUT,
    NEAR,
    NEVER,
    Cause,
    about_the_end,
    crashes,
    in_hand,
    instant_of,
    no_answer,
    precision_of,
    reused_and_cut,
    sent_kill,
    stop_as_told,
    stopped_by_hook,
    told_at,
)
from lameduck.defects.endings import at_exit, unsuited
from lameduck.defects.evidence import Evidence

BROKEN_HOOK = 500 * MILLISECOND
"""A preStop that failed this soon after the deletion never delayed anything."""

HEARD = 2 * SECOND
"""How late a data plane may hear of an endpoint."""
GAPS = {"Recreate": "LD201", "DaemonSet": "LD207", "StatefulSet": "LD208"}
"""Whose rollout leaves no endpoint, by kind; a Deployment's rolling update is LD202."""
WRONG = frozenset({Kind.BAD_STATUS, Kind.BAD_BODY})


BROKEN_BEFORE = Cause("LD915", "LD915", "failures of this kind were there, as often, before anything was disrupted")

Rule = Callable[[Joined, PodHistory, Evidence], Cause | None]


def diagnose(case: Joined, evidence: Evidence) -> Cause:
    """The cause of one failed exchange; where its time is known roughly only, what holds at every such time."""
    precision = int(evidence.facts.get("precision", 0))
    if precision <= NEAR:
        return _at_its_time(case, evidence)
    causes = [_at_its_time(_later(case, by), evidence) for by in (0, precision // 2, precision)]
    if all((c.code, c.symptom) == (causes[0].code, causes[0].symptom) for c in causes):
        return causes[0]
    return _unexplained(f"its time is known to {human(precision)} only, and within that the cause differs")


def _later(case: Joined, by: int) -> Joined:
    def moved(at: int | None) -> int | None:
        return None if at is None else at + by

    e = case.exchange
    later = replace(
        e,
        intended_start=e.intended_start + by,
        actual_start=moved(e.actual_start),
        connected=moved(e.connected),
        first_byte=moved(e.first_byte),
        finished=moved(e.finished),
    )
    return replace(case, exchange=later)


def _at_its_time(case: Joined, evidence: Evidence) -> Cause:
    failure = case.exchange.failure
    if failure is None or failure.behind is None:
        return _diagnose(case, evidence)
    met = _behind(case, failure.behind)
    if _steady_race(met, evidence) is None and evidence.broken_before(case.exchange):
        return BROKEN_BEFORE
    cause = _diagnose(met, evidence)
    if cause.code == "LD999":
        by_a_hop = failure.behind.inferred and failure.kind is Kind.BAD_STATUS
        return Cause("LD907", "LD907", f"{case.exchange.status} by a hop: {cause.because}") if by_a_hop else cause
    because = f"the hop's own connection to the pod: {cause.because}"
    if failure.behind.inferred:
        because = f"a hop that says no more, while a pod was ending: {cause.because}"
        cause = replace(cause, confidence=Confidence.LIKELY)
    if failure.kind is not Kind.BAD_STATUS:
        return replace(cause, because=because)
    return Cause(cause.code, "LD915" if cause.symptom == "LD915" else "LD907", because, cause.confidence)


def _behind(case: Joined, met: Behind) -> Joined:
    """The same case as the hop saw it."""
    exchange = case.exchange
    start = (exchange.actual_start or exchange.intended_start) + met.after
    seen = replace(
        exchange,
        actual_start=start,
        failure=Failure(met.stage, met.kind, detail=met.detail),
        connected=None if met.stage is Stage.CONNECT else start,
        sent=exchange.sent if met.stage in {Stage.AWAIT, Stage.READ} else None,
        first_byte=exchange.first_byte if met.stage is Stage.READ else None,
        nth_on_connection=2 if met.reused else 1,
        idle=met.idle,
        local_port=0,
        status=0,
    )
    return replace(case, exchange=seen)


def _diagnose(case: Joined, evidence: Evidence) -> Cause:
    exchange = case.exchange
    if (race := _steady_race(case, evidence)) is not None:
        return race
    if evidence.broken_before(exchange) or case.judged_at in evidence.baseline:
        return BROKEN_BEFORE
    if case.tie is Tie.NO_ENDPOINT:
        return _no_endpoint(case, evidence)
    causes = [_first(case, pod, evidence) for pod in case.pods]
    if causes and all((c.code, c.symptom) == (causes[0].code, causes[0].symptom) for c in causes):
        return causes[0]
    if not causes:
        return _unexplained("no pod could be tied to it: no header named one and no pod was there to be routed to")
    return _unexplained(f"it belongs to one of {len(case.pods)} pods, and they give different causes")


def _unexplained(missing: str) -> Cause:
    return Cause("LD999", "LD999", missing, Confidence.POSSIBLE)


def _steady_race(case: Joined, evidence: Evidence) -> Cause | None:
    """Rule b, second half, first: a race in steady state is a race whether or not the baseline had it too."""
    if not reused_and_cut(case.exchange) or not case.pods:
        return None
    if any(told_at(pod) <= case.judged_at for pod in case.pods):
        return None
    at, since = case.judged_at, evidence.at_the_earliest(case.judged_at)
    ends = [end for pod in case.pods for end in crashes(pod)]
    if any(about_the_end(pod, since, at) for pod in case.pods) or any(since - NEAR <= e <= at + NEAR for e in ends):
        return None  # it crashed, or was killed: no idle close
    idle = human(case.exchange.idle)
    return Cause("LD605", "LD906", f"the connection had been idle for {idle}, and its app had not been told to stop")


def _no_endpoint(case: Joined, evidence: Evidence) -> Cause:
    at = case.judged_at
    going = [p for p in evidence.pods.values() if instant_of(p, Milestone.DELETION_REQUESTED) <= at]
    if not going:
        return _unexplained("no endpoint was ready although nothing had been deleted: see the readiness probe")
    code = GAPS.get(str(evidence.facts.get("strategy")), "LD202")
    return Cause(code, "LD901", "no endpoint was ready, and none was serving while terminating")


def _first(case: Joined, pod: PodHistory, evidence: Evidence) -> Cause:
    for rule in RULES:
        cause = rule(case, pod, evidence)
        if cause is not None:
            return cause
    kind = case.exchange.failure.kind.value if case.exchange.failure else "?"
    return _unexplained(f"{kind} by a pod that was {stage_of_life(pod, case.judged_at)}: no rule explains that")


def _connect(case: Joined, pod: PodHistory, evidence: Evidence) -> Cause | None:
    """Rule c: failed at CONNECT."""
    failure, at = case.exchange.failure, case.judged_at
    if failure is None or failure.stage is not Stage.CONNECT:
        return None
    if at < instant_of(pod, Milestone.LISTENING) and not pod.terminated:
        if evidence.facts.get("publish_not_ready"):
            return Cause("LD601", "LD910", "its pod did not listen yet, and unready addresses are published")
        return Cause("LD301", "LD910", "its pod had started and did not listen yet")
    down = max((end for end in crashes(pod) if end <= at), default=None)
    if down is not None and not pod.terminated:
        return Cause("LD917", "LD917", f"its process had ended by itself {human(at - down)} before")
    told = stop_as_told(pod)
    stopped = min(
        NEVER if told is None else told.at,
        instant_of(pod, Milestone.EXITED),
        instant_of(pod, Milestone.LISTENER_CLOSED),
    )
    if not pod.terminated or at < stopped - precision_of(pod):
        return None
    not_ready = pod.at(Milestone.ENDPOINT_NOT_READY)
    if not_ready is not None and at - not_ready > evidence.late:
        if evidence.facts.get("resolve") == "once":
            return Cause("LD607", "LD914", "the client asked for the name once, and the pod's address outlived the pod")
        if _stands_in(pod, at, evidence):
            code = GAPS.get(str(evidence.facts.get("strategy")), "LD202")
            return Cause(code, "LD901", "no endpoint was ready, and a pod that was ending was asked in its place")
        return Cause("LD914", "LD914", f"its endpoint had not been ready for {human(at - not_ready)}")
    if evidence.facts.get("publish_not_ready") and (not_ready is None or at <= not_ready + evidence.late):
        return Cause("LD601", "LD901", "unready addresses are published: its endpoint stays until the pod has ended")
    code, because = _why_no_delay(pod, evidence)
    return Cause(code, "LD901", because)


def _stands_in(pod: PodHistory, at: int, evidence: Evidence) -> bool:
    """Whether a pod that is ending is asked because none is ready: the data plane's rule while it serves (KEP-1669)."""
    if at > instant_of(pod, Milestone.EXITED) + HEARD:
        return False
    return not any(
        instant_of(each, Milestone.ENDPOINT_READY) + HEARD <= at < instant_of(each, Milestone.ENDPOINT_NOT_READY)
        for each in evidence.pods.values()
    )


def _why_no_delay(pod: PodHistory, evidence: Evidence) -> tuple[str, str]:
    """Why the stop signal came before traffic had gone: no hook, a broken one, or one that was too short."""
    hook = pod.marks.get(Milestone.PRESTOP_FINISHED)
    deletion = instant_of(pod, Milestone.DELETION_REQUESTED)
    if evidence.facts.get("grace") == 0:
        return "LD103", "the grace period is zero: SIGKILL comes at once, and no preStop runs to its end"
    if stopped_by_hook(pod):
        since = human(pod.marks[Milestone.EXITED].at - deletion)
        return "LD107", f"its process ended {since} after the deletion, during the preStop and before any stop signal"
    if sent_kill(pod):
        return "LD504", "its stop signal is SIGKILL, which no server can catch"
    if hook is None:
        return _no_hook(pod, deletion)
    if hook.detail.get("ok") is False and hook.at - deletion < BROKEN_HOOK:
        code = "LD104" if hook.detail.get("missing_binary") else "LD105"
        return code, f"the preStop failed {human(hook.at - deletion)} after the deletion"
    return "LD109", f"the preStop was over {human(hook.at - deletion)} after the deletion, and traffic still came"


def _no_hook(pod: PodHistory, deletion: int) -> tuple[str, str]:
    passed_on = pod.marks.get(Milestone.FORWARDED)
    if passed_on is None or not passed_on.detail.get("waited_ns"):
        return "LD101", "no preStop delayed the stop signal"
    when = human(passed_on.at - deletion)
    return "LD109", f"lameduck-pod run passed the stop signal on {when} after the deletion, and traffic still came"


def _closed_before(case: Joined, pod: PodHistory, _: Evidence) -> Cause | None:
    """Seen on the way: the pod had closed the kept-alive connection, and the client used it again without a look."""
    failure = case.exchange.failure
    if failure is None or failure.detail != CLOSED_BEFORE:
        return None
    told = told_at(pod) <= case.judged_at
    return Cause("LD906" if told else "LD605", "LD906", CLOSED_BEFORE)


def _backlog(case: Joined, pod: PodHistory, _: Evidence) -> Cause | None:
    """Rule e, by the strongest evidence: the connection was seen in the accept queue and never left it; or it was
    reset, and its pod's kernel reset none that had been accepted. Where somebody else ended the server, that is why."""
    exchange = case.exchange
    if not no_answer(exchange):
        return None
    if exchange.local_port in pod.facts.get("unaccepted_ports", ()):
        return Cause("LD912", "LD912", "its connection was still in the accept queue when the listener closed")
    failure, told = exchange.failure, stop_as_told(pod)
    reset = failure is not None and failure.kind is Kind.RESET and exchange.nth_on_connection == 1
    if not reset or told is None or case.judged_at < told.at or not pod.facts.get("none_reset_once_accepted"):
        return None
    if Milestone.KILLED in pod.marks or pod.facts.get("left_behind") or pod.facts.get("cut_off"):
        return None
    return Cause("LD912", "LD912", "reset, and its pod's kernel reset none that was accepted: it was in the queue")


def _stopping(case: Joined, pod: PodHistory, _: Evidence) -> Cause | None:
    """Rules e and what remains of a pod that had been told to stop and whose process lived on."""
    exchange, told = case.exchange, stop_as_told(pod)
    failure, at = exchange.failure, case.judged_at
    if failure is None or told is None or at < told.at - precision_of(pod):
        return None
    stop = told.at
    if failure.kind is Kind.TIMEOUT and failure.stage in {Stage.AWAIT, Stage.TLS, Stage.SEND}:
        return Cause("LD905", "LD905", f"its pod had been told to stop {human(at - stop)} before it gave up waiting")
    if failure.kind not in CUT:
        return None
    closed = instant_of(pod, Milestone.LISTENER_CLOSED)
    if no_answer(exchange) and exchange.nth_on_connection == 1:
        if failure.kind is Kind.RESET and abs(at - closed) <= NEAR and (exchange.connected or at) <= closed + NEAR:
            return Cause("LD912", "LD912", "reset as the listener closed, by a process that lived on")
        if not in_hand(exchange, stop):
            return Cause("LD905", "LD905", "the kernel took the connection after the stop signal, and nobody served it")
    if reused_and_cut(exchange) and not in_hand(exchange, stop):
        because = f"closed {human(at - stop)} after the stop signal, as its next request was on the way"
        return Cause("LD906", "LD906", because)
    if exchange.ambiguous or (not exchange.nth_on_connection and not in_hand(exchange, stop)):
        return None  # imported: begun after the stop signal, on a connection that may be a new or an old one
    if why := unsuited(told):
        return Cause("LD505", "LD902", why, Confidence.LIKELY)
    return Cause("LD803", "LD902", f"cut {human(max(0, at - stop))} after the stop signal, while its process lived on")


def _wrong(case: Joined, pod: PodHistory, evidence: Evidence) -> Cause | None:
    """Rule f: a wrong status or body, from this pod only after its stop signal."""
    failure, stop = case.exchange.failure, pod.at(Milestone.STOP_SIGNAL)
    if failure is None or failure.kind not in WRONG or stop is None or case.judged_at < stop - precision_of(pod):
        return None
    if (pod.name, case.exchange.status) in evidence.answered_wrong_before:
        return None
    if evidence.facts.get("seen_by_a_hop") and case.exchange.status in {502, 503, 504}:
        because = f"status {case.exchange.status} in the proxy's log, only after its pod's stop signal"
        return Cause("LD907", "LD907", because, Confidence.LIKELY)
    if why := unsuited(pod.marks[Milestone.STOP_SIGNAL]):
        return Cause("LD505", "LD913", why, Confidence.LIKELY)
    return Cause("LD913", "LD913", f"status {case.exchange.status}, only after the stop signal")


RULES: tuple[Rule, ...] = (_closed_before, _connect, _backlog, at_exit, _stopping, _wrong)
"""In the order in which they are asked."""
