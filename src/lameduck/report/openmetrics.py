"""The result as OpenMetrics text (version 1.0.0), for a Pushgateway or a node exporter's textfile collector.

Law: a run is over, so every number is a gauge; seconds and ratios are the units; label values are escaped.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from lameduck.core.histogram import Histogram
from lameduck.core.instants import to_seconds
from lameduck.core.proof import Proof, Verdict
from lameduck.report.inert import line

Sample = tuple[Mapping[str, str], float | int]


def openmetrics(proof: Proof, workload: str = "") -> str:
    """The whole exposition, ``# EOF`` included."""
    own = {"workload": workload} if workload else {}
    lines: list[str] = []
    for name, unit, words, samples in _families(proof):
        lines += [f"# TYPE {name} gauge", *([f"# UNIT {name} {unit}"] if unit else []), f"# HELP {name} {words}"]
        lines += [f"{name}{_labels({**own, **labels})} {value}" for labels, value in samples]
    return "\n".join([*lines, "# EOF", ""])


Family = tuple[str, str, str, Iterable[Sample]]


def _families(proof: Proof) -> Iterable[Family]:
    verdicts: list[Sample] = [({"verdict": each.value}, int(each is proof.verdict)) for each in Verdict]
    yield "lameduck_verdict", "", "1 for the verdict that was reached.", verdicts
    by_lane = proof.requests_by_lane
    yield "lameduck_requests", "", "Requests that were counted.", [({"lane": x}, n) for x, n in by_lane.items()]
    lost = proof.failures_by_lane
    yield "lameduck_requests_lost", "", "Requests lost, by lane.", [({"lane": x}, lost.get(x, 0)) for x in by_lane]
    kinds: list[Sample] = [({"kind": kind}, n) for kind, n in proof.failures_by_kind.items()]
    yield "lameduck_failures", "", "Requests lost, by kind of failure.", kinds
    yield "lameduck_findings", "", "Requests (or pods) of each finding.", _findings(proof)
    yield "lameduck_requests_at_risk", "", "Requests in exposed windows.", [({}, proof.exposed_requests)]
    bounds: list[Sample] = [
        ({"of": "requests"}, proof.upper_bound),
        ({"of": "terminations"}, proof.upper_bound_terminations),
    ]
    yield "lameduck_upper_bound_ratio", "ratio", "95 % upper bound of the rate of loss.", bounds
    rollouts: list[Sample] = [
        ({"state": "asked"}, proof.rollouts_asked),
        ({"state": "completed"}, proof.rollouts_completed),
    ]
    yield "lameduck_disruptions", "", "Disruptions asked for and completed.", rollouts
    yield "lameduck_terminations", "", "Pod terminations observed.", [({}, proof.terminations)]
    gates: list[Sample] = [({"gate": gate.name}, int(gate.held)) for gate in proof.gates]
    yield "lameduck_gate_held", "", "1 where a gate of the verdict held.", gates
    phases: list[Sample] = [
        ({"phase": phase, **labels}, value)
        for phase, times in proof.response_time.items()
        for labels, value in _quantiles(times)
    ]
    yield "lameduck_response_time_seconds", "seconds", "From the intended start.", phases
    yield "lameduck_start_delay_seconds", "seconds", "Our own lateness.", _quantiles(proof.start_delay)
    if proof.lag.maximum is not None:
        lag: list[Sample] = [({"quantile": "1"}, to_seconds(proof.lag.maximum))]
        yield "lameduck_propagation_lag_seconds", "seconds", "Last attempt routed after not ready.", lag


def _findings(proof: Proof) -> list[Sample]:
    merged: dict[tuple[str, str], int] = {}
    for finding in proof.findings:
        key = finding.defect.code, finding.symptom
        merged[key] = merged.get(key, 0) + finding.count
    return [({"code": code, "symptom": symptom}, count) for (code, symptom), count in merged.items()]


def _quantiles(times: Histogram) -> list[Sample]:
    known = [(share, times.quantile(share)) for share in (0.5, 0.99, 1.0)]
    return [({"quantile": f"{share:g}"}, to_seconds(value)) for share, value in known if value is not None]


def _labels(labels: Mapping[str, str]) -> str:
    pairs = (f'{name}="{_escape(value)}"' for name, value in labels.items())
    return f"{{{','.join(pairs)}}}" if labels else ""


def _escape(text: str) -> str:
    return line(text, 200).replace("\\", "\\\\").replace('"', '\\"')
