"""The report's section "How this was measured": plan, validity, start delay, clocks, versions, the command.

Law: whoever doubts the verdict finds here what it rests on, and how to get it again.
"""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from lameduck.core.foreign import Foreign
from lameduck.core.instants import human
from lameduck.core.plan import TrafficPlan
from lameduck.core.proof import Proof
from lameduck.core.run import Run
from lameduck.report.inert import inert, line
from lameduck.report.words import LANES


def measured(run: Run, proof: Proof, gates: str) -> str:
    """The section. ``gates`` is their list as HTML."""
    cells = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(inert(value, 600))}</dd></div>"
        for name, value in facts(run, proof)
        if value
    )
    notes = "".join(f"<p class='quiet'>{escape(inert(note, 600))}</p>" for note in proof.notes)
    command = ""
    if run.meta.get("command"):
        command = (
            "<p>To reproduce it:</p><div class='copyable'><pre tabindex='0' aria-label='command'>"
            f"{escape(line(str(run.meta['command']), 2_000))}</pre></div>"
        )
    return (
        "<section aria-label='How this was measured'><h2>How this was measured, and how far it can be trusted</h2>"
        f"{gates}<dl class='facts'>{cells}</dl>{notes}{command}</section>"
    )


def facts(run: Run, proof: Proof) -> Iterable[tuple[str, str]]:
    """Name and value of everything the measurement rests on."""
    known, foreign = run.facts, run.foreign
    yield from _own_load(run.plan.traffic) if foreign is None else _foreign_load(foreign)
    yield "disruption", f"{run.plan.disruption.times} × {run.plan.disruption.kind.value}"
    yield "settling, baseline", f"first {human(run.plan.settle)} discarded, then at least {human(run.plan.baseline)}"
    yield "load lasted", human(run.load_ended - run.load_started)
    yield "workload", f"{known.name} ({known.kind}), {known.replicas} replicas, {known.address}".rstrip(", ")
    yield "grace period", human(known.grace)
    yield "preStop", known.pre_stop or ("none" if not known.pre_stop_delay else f"delays {human(known.pre_stop_delay)}")
    late = proof.start_delay
    if late.total:
        p50, p99 = late.quantile(0.5) or 0, late.quantile(0.99) or 0
        yield "start delay (ours)", f"p50 {human(p50)}, p99 {human(p99)}, longest {human(late.maximum)}"
    stalled = ", longest " + human(max(stall.length for stall in proof.stalls)) if proof.stalls else ""
    yield "own stalls", f"{len(proof.stalls)}{stalled}"
    if foreign is None:
        yield "not sent (ours)", f"{proof.not_sent:,}"
        yield "closed idle", f"{proof.closed_idle:,} kept-alive connections found closed before reuse: not failures"
    yield "clock", _clock(run)
    yield (
        "version",
        ", ".join(f"{key} {run.meta[key]}" for key in ("lameduck", "python", "platform", "kernel") if key in run.meta),
    )
    yield "run kept in", str(run.meta.get("folder", ""))


def _own_load(traffic: TrafficPlan) -> Iterable[tuple[str, str]]:
    yield "traffic", f"{traffic.rate:g} requests/s, {traffic.arrivals.value} arrivals, open loop, no retries"
    yield "lanes", ", ".join(f"{LANES[lane.value]} {share:.0%}" for lane, share in traffic.lanes)
    yield "requests", _shapes(traffic)
    yield "time-outs", f"connect {human(traffic.connect_timeout)}, whole request {human(traffic.timeout)}"


def _foreign_load(foreign: Foreign) -> Iterable[tuple[str, str]]:
    yield "traffic", f"not ours: {foreign.kind or 'none imported yet'}"
    yield "promised", f"{foreign.rate:g} requests/s" if foreign.rate else "nothing: --qps says what its plan holds"
    yield "read from", foreign.source
    yield "started by", foreign.command or "somebody else"
    yield "its times", f"known to {human(foreign.precision)}"


def _clock(run: Run) -> str:
    agents = run.facts.details.get("senders") or ()
    if not agents:
        return "one monotonic clock, in nanoseconds; wall-clock time only to print"
    worst = human(max(int(each["clock_error"]) for each in agents))
    where = ", ".join(sorted({str(each["node"]) for each in agents}))
    return f"the driver's monotonic clock; {len(agents)} agents on {where}, their clocks known to {worst} on it"


def _shapes(traffic: TrafficPlan) -> str:
    return "; ".join(f"{shape.method} {shape.path}" for shape in traffic.requests[:5])
