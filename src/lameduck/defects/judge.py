"""From a recorded run to its proof.

Law: the same run gives the same proof, here or years later; nothing but the run is asked.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from lameduck.core import path
from lameduck.core.exchange import Kind, Lane
from lameduck.core.foreign import attempts_gate, promise_gate, sight_gates
from lameduck.core.histogram import Histogram
from lameduck.core.instants import SECOND, human
from lameduck.core.join import Joined, join
from lameduck.core.lag import Lag, Sender, fallback_spans, measure, unready_spans
from lameduck.core.proof import (
    Gate,
    Proof,
    Termination,
    agents_gate,
    booked,
    completion_gate,
    coverage_gate,
    decide,
    masked_gate,
    pre_stop_arithmetic,
    punctuality_gate,
    sending_gate,
    sentence,
    sight_gate,
    stall_gate,
    tally,
)
from lameduck.core.recording import LANES, RETRIED, Recording
from lameduck.core.run import Run
from lameduck.core.sockets import held_at_deletion, socket_gate
from lameduck.core.sockets import tally as tally_sockets
from lameduck.core.statistics import upper_bound
from lameduck.core.timeline import Event, Milestone, PodHistory, fold
from lameduck.core.windows import BEFORE_DELETION, Window, Windows, disturbed, exposed
from lameduck.defects.cause import Cause
from lameduck.defects.diagnose import diagnose
from lameduck.defects.evidence import gather
from lameduck.defects.findings import of_failures, of_survivors
from lameduck.defects.hops import infer
from lameduck.defects.narrowing import narrow, tied
from lameduck.defects.socketing import of_sockets

FIRST_SECONDS = 2 * SECOND
NOT_TESTED = "not tested: WebSockets and other connections that outlive a request (--sockets N holds some open)"


@dataclass(frozen=True, slots=True)
class Judgement:
    """A proof with what it rests on: what a picture of the run must agree with."""

    proof: Proof
    pods: Mapping[str, PodHistory]
    cases: Sequence[tuple[Joined, Cause]]
    """Every exchange that the target failed, with its pods and its cause."""
    at_risk: Windows
    counted: Window


def judge(run: Run) -> Proof:
    """The proof of a recorded run."""
    return examine(run).proof


def examine(run: Run) -> Judgement:
    """The proof of a recorded run, and each failure with its cause."""
    pods = fold(run.observations)
    counted = Window(run.load_started + run.plan.settle, run.load_ended)
    disrupted = [seen.at for seen in run.observations if seen.what is Event.DISRUPTION_REQUESTED]
    error = run.foreign.time_error if run.foreign else 0  # a time cut to its second may be that much too early
    baseline = Window(counted.start, min(disrupted, default=run.load_ended) - error)
    windows = [window for pod in pods.values() if (window := exposed(pod, run.load_ended)) is not None]
    if not run.plan.disruption.kind.ends_pods:
        windows += disturbed(run.observations, run.load_ended)
    at_risk = Windows(windows)
    stalls = run.stalls if _through_us(run) else ()
    failed = [e for e in run.recording.failed_exchanges() if e.intended_start in counted and booked(e, stalls)]
    lag = _lag(run, pods)
    evidence = gather(run.recording, pods, lag, baseline, at_risk, {**run.facts.details, **_timing(run)}, stalls)
    cases = narrow(infer(join(failed, pods), evidence), evidence)
    if not _routes_known(run):  # only now is it known whom the attempts that failed had met
        lag = _lag(run, pods, tied(cases))
        evidence = replace(evidence, lag=lag)
    sockets = tally_sockets(run.observations, run.load_ended)
    lost = sockets.lost if sockets else ()
    hit = frozenset(pod.name for case in cases for pod in case.pods) | {end.pod for end in lost}
    findings = of_failures(cases, evidence, run.load_started) + of_sockets(sockets, evidence, run.load_started)
    findings += of_survivors(evidence, findings)
    terminations = _terminations(pods, run)
    delays = Histogram() if run.foreign else _start_delays(run.recording, counted)
    gates = _gates(run, terminations, at_risk, counted, delays)
    verdict = decide(len(failed) + len(lost), gates)
    kinds, stages, lanes = tally(failed)
    by_lane = _by_lane(run.recording, counted)
    n_exposed = sum(start in at_risk and start in counted for start in run.recording.intended_start)
    rollouts_done = sum(seen.what is Event.DISRUPTION_COMPLETED for seen in run.observations)
    masked = _masked(run.recording, counted) + (run.foreign.masked if run.foreign else 0)
    failed_exposed = sum(e.intended_start in at_risk for e in failed)
    proof = Proof(
        verdict=verdict,
        sentence=sentence(
            verdict,
            failed=len(failed),
            exposed=n_exposed,
            requests=sum(by_lane.values()),
            terminations=len(terminations),
            lanes=_lanes(run, by_lane),
            disruption=_disruption(run, rollouts_done),
            masked=masked,
            sockets=sockets,
            ends_pods=run.plan.disruption.kind.ends_pods,
        ),
        requests=sum(by_lane.values()),
        exposed_requests=n_exposed,
        failed=len(failed),
        failures_by_kind=kinds,
        failures_by_stage=stages,
        failures_by_lane=lanes,
        requests_by_lane=by_lane,
        findings=findings,
        gates=gates,
        rollouts_asked=run.plan.disruption.times,
        rollouts_completed=rollouts_done,
        terminations=len(terminations),
        upper_bound=upper_bound(failed_exposed, n_exposed),
        upper_bound_terminations=upper_bound(sum(t.pod.name in hit for t in terminations), len(terminations)),
        lag=lag,
        suggested_pre_stop=lag.suggested_pre_stop,
        arithmetic=pre_stop_arithmetic(lag, run.facts.grace, run.facts.pre_stop_delay),
        response_time=_response_times(run.recording, baseline, at_risk),
        start_delay=delays,
        stalls=run.stalls,
        not_sent=_unsent(run.recording, counted),
        closed_idle=run.recording.closed_idle,
        masked=masked,
        rollout_times=_rollout_times(run),
        disruption=run.plan.disruption.kind.value,
        sockets=sockets,
        notes=(*run.facts.notes, *_said(run), *_stayed(run, pods), *(() if sockets else (NOT_TESTED,))),
        imported=run.foreign.as_dict() if run.foreign else None,
        run=run.meta,
    )
    return Judgement(proof, pods, [(case, diagnose(case, evidence)) for case in cases], at_risk, counted)


def _lag(run: Run, pods: Mapping[str, PodHistory], more: Mapping[str, Sequence[int]] | None = None) -> Lag:
    details = run.facts.details
    if details.get("resolve") == "once":  # what such a client still dials says nothing about propagation
        return Lag({})
    via = path.parse(str(details.get("via", "service")))
    senders = [Sender(each["node"], each["first"], each["last"]) for each in details.get("senders", ())]
    return measure(
        pods.values(),
        run.recording,
        fallback_spans(run.observations) if run.facts.kind == "local" else unready_spans(pods.values()),
        routes_known=_routes_known(run),
        tied=more,
        senders=senders if len(senders) > 1 else (),
        floor=via.floor,
        each_request=via.kind is path.Kind.INGRESS,
    )


def _masked(recording: Recording, counted: Window) -> int:
    """Requests that went well only since a hop sent them again."""
    return sum(
        bool(flags & RETRIED) and not failure and start in counted
        for flags, failure, start in zip(recording.flags, recording.failure, recording.intended_start, strict=True)
    )


def _through_us(run: Run) -> bool:
    """Whether requests passed this process, so that its own stalls may have been what they waited for."""
    return run.foreign is None or run.facts.kind == "local"


def _lanes(run: Run, by_lane: Mapping[str, int]) -> list[Lane]:
    """What was claimed, or, of a load that was not ours, what is told."""
    return [Lane(lane) for lane in by_lane] if run.foreign else [lane for lane, _ in run.plan.traffic.lanes]


def _stayed(run: Run, pods: Mapping[str, PodHistory]) -> list[str]:
    """Kept-alive connections that went on to a pod after its endpoint had left: no Service ever moves an open one.

    Behind an ingress that routes each request anew they are the ingress's own, and nothing is said of them.
    """
    if run.facts.details.get("via") == str(path.Kind.INGRESS):
        return []
    left = {name: at for name, pod in pods.items() if (at := pod.at(Milestone.ENDPOINT_NOT_READY)) is not None}
    recording, longest, flows = run.recording, 0, set[int]()
    texts = recording.names.texts
    ends = [left.get(text, 0) for text in texts]
    rows = zip(
        recording.nth_on_connection,
        recording.actual_start,
        recording.served_by,
        recording.routed_to,
        recording.connection,
        strict=True,
    )
    for nth, at, served, routed, number in rows:
        end = ends[served or routed]
        if nth > 1 and end and at > end:
            longest = max(longest, at - end)
            flows.add(number)
    if not flows:
        return []
    told = (
        f"{len(flows):,} kept-alive connections stayed on pods that were going, up to {human(longest)} after their "
        "endpoints had left: an open connection is never moved, only a server's Connection: close ends it in peace"
    )
    return [told]


def _said(run: Run) -> list[str]:
    """What an imported load cannot say; what kube-proxy says of itself."""
    if run.foreign is None:
        compared = run.facts.details.get("kube_proxy")
        return [str(compared)] if compared else []
    told = [f"{run.foreign.kind}'s file: {each}" for each in run.foreign.losses]
    if run.foreign.outside:
        told.append(f"{run.foreign.outside:,} requests of {run.foreign.source} lie before or after this run")
    return told


def _routes_known(run: Run) -> bool:
    """Whether every attempt's pod is known, also where it was refused or swallowed."""
    if run.foreign is not None:
        return False
    return run.facts.kind == "local" or bool(run.facts.details.get("routes_known"))


def _timing(run: Run) -> Mapping[str, int]:
    timing = {"grace": run.facts.grace, "pre_stop_delay": run.facts.pre_stop_delay}
    if run.foreign is not None:
        timing |= {"precision": run.foreign.precision, "seen_by_a_hop": not run.foreign.client_view}
    return timing


def _rollout_times(run: Run) -> list[int]:
    begun = {seen.subject: seen.at for seen in run.observations if seen.what is Event.DISRUPTION_REQUESTED}
    done = [seen for seen in run.observations if seen.what is Event.DISRUPTION_COMPLETED]
    return [seen.at - begun[seen.subject] for seen in done if seen.subject in begun]


def _disruption(run: Run, completed: int) -> str:
    times = run.plan.disruption.times
    if not times:
        return "control run, nothing rolled"
    name = run.plan.disruption.kind.value
    return f"{completed} {name}{'s' * (completed != 1)}"


def _terminations(pods: Mapping[str, PodHistory], run: Run) -> list[Termination]:
    new = LANES.index(Lane.NEW)
    attempts = sorted(
        at
        for lane, at in zip(run.recording.lane, run.recording.actual_start, strict=True)
        if at and (lane == new or run.foreign)
    )
    found = []
    for pod in pods.values():
        window = exposed(pod, run.load_ended)
        if window is None:
            continue
        deletion = pod.marks[Milestone.DELETION_REQUESTED].at
        ended = Milestone.EXITED in pod.marks or Milestone.GONE in pod.marks
        tried = bisect_right(attempts, deletion + FIRST_SECONDS) - bisect_left(attempts, deletion)
        complete = Milestone.ENDPOINT_NOT_READY in pod.marks and ended
        found.append(Termination(pod, window, complete, tried, pod.facts.get("kept_open")))
    if not run.plan.disruption.kind.ends_pods:
        found += _disturbances(run, attempts)
    return found


def _disturbances(run: Run, attempts: Sequence[int]) -> list[Termination]:
    """Disruptions that end no pod, each with what the gates ask of a termination."""
    kind, found = run.plan.disruption.kind.value, []
    done = sum(seen.what is Event.DISRUPTION_COMPLETED for seen in run.observations)
    for number, window in enumerate(disturbed(run.observations, run.load_ended), 1):
        start = window.start + BEFORE_DELETION
        tried = bisect_right(attempts, start + FIRST_SECONDS) - bisect_left(attempts, start)
        found.append(Termination(PodHistory(f"{kind} {number}", {}), window, number <= done, tried, None))
    return found


def _gates(
    run: Run, terminations: Sequence[Termination], at_risk: Windows, counted: Window, delays: Histogram
) -> list[Gate]:
    asked, done = run.plan.disruption.times, sum(s.what is Event.DISRUPTION_COMPLETED for s in run.observations)
    gaps = [(s.detail["start"], s.at) for s in run.observations if s.what is Event.WATCH_GAP and s.detail.get("relist")]
    load = _foreign_gates if run.foreign else _own_gates
    gates = [
        completion_gate(asked, done, terminations),
        *load(run, terminations, at_risk, counted, delays),
        sight_gate(gaps, at_risk.merged),
    ]
    if run.plan.sockets:
        gates.append(socket_gate(terminations, held_at_deletion(run.observations)))
    agents = run.facts.details.get("senders")
    if agents:
        gates.append(agents_gate(agents))
    if not run.complete:
        gates.append(Gate("the record is whole", False, "the recorder died before the end", "prove again"))
    raised = [t.pod.name for t in terminations if t.pod.facts.get("raised_again")]
    why = f"{len(raised)} pods ended by raising their stop signal again, which does nothing to a container's process 1"
    unsure = run.facts.details.get("pid1_unknown") or (why if raised else "")
    if unsure:
        gates.append(Gate("pods stop as in a container", False, str(unsure), "run it on Linux with user namespaces"))
    return gates


def _own_gates(
    run: Run, terminations: Sequence[Termination], at_risk: Windows, counted: Window, delays: Histogram
) -> list[Gate]:
    planned = sum(start in counted for start in run.recording.intended_start)
    return [
        sending_gate(planned, _unsent(run.recording, counted), _seconds(run.recording, at_risk)),
        punctuality_gate(delays, run.stalls, at_risk.merged),
        coverage_gate(
            terminations,
            [lane for lane, _ in run.plan.traffic.lanes],
            reused=any(nth > 1 for nth in run.recording.nth_on_connection),
        ),
        *masked_gate(_masked(run.recording, counted)),
    ]


def _foreign_gates(
    run: Run, terminations: Sequence[Termination], at_risk: Windows, counted: Window, _: Histogram
) -> list[Gate]:
    assert run.foreign is not None
    recording = run.recording
    starts = [at for at, sent in zip(recording.actual_start, _sent(recording), strict=True) if sent]
    gates = [promise_gate(run.foreign, starts, counted, at_risk.merged), attempts_gate(run.foreign, terminations)]
    if _through_us(run):
        gates.append(stall_gate(run.stalls, at_risk.merged))
    return [*gates, *sight_gates(run.foreign)]


def _sent(recording: Recording) -> list[bool]:
    """For each row, whether the request went out at all."""
    ours = {n for n, failure in enumerate(recording.failures) if failure is not None and failure.kind is Kind.NOT_SENT}
    return [
        bool(actual) and failure not in ours
        for actual, failure in zip(recording.actual_start, recording.failure, strict=True)
    ]


def _unsent(recording: Recording, counted: Window) -> int:
    return sum(
        not sent and start in counted for sent, start in zip(_sent(recording), recording.intended_start, strict=True)
    )


def _seconds(recording: Recording, at_risk: Windows) -> dict[int, tuple[int, int]]:
    """For each second that lies in an exposed window: how many requests were due, how many were sent."""
    due: Counter[int] = Counter()
    done: Counter[int] = Counter()
    for start, sent in zip(recording.intended_start, _sent(recording), strict=True):
        if start in at_risk:
            due[start // SECOND] += 1
            done[start // SECOND] += sent
    return {second: (count, done[second]) for second, count in due.items()}


def _start_delays(recording: Recording, counted: Window) -> Histogram:
    return Histogram(
        actual - start
        for start, actual in zip(recording.intended_start, recording.actual_start, strict=True)
        if actual and start in counted
    )


def _by_lane(recording: Recording, counted: Window) -> Counter[str]:
    lanes = Counter(
        lane for start, lane in zip(recording.intended_start, recording.lane, strict=True) if start in counted
    )
    return Counter({lane.value: lanes[number] for number, lane in enumerate(LANES) if lanes[number]})


def _response_times(recording: Recording, baseline: Window, at_risk: Windows) -> dict[str, Histogram]:
    before, during = Histogram(), Histogram()
    for start, end, failure in zip(recording.intended_start, recording.finished, recording.failure, strict=True):
        if failure or not end:
            continue
        if start in baseline:
            before.add(end - start)
        elif start in at_risk:
            during.add(end - start)
    return {"baseline": before, "exposed": during}
