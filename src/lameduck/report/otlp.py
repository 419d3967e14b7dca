"""A run as OpenTelemetry traces: one OTLP/JSON document (ExportTraceServiceRequest), for a collector's file receiver.

Law: one trace a run: the run, in it each disruption, each pod's life with its milestones as events, and each lost
request as a client's span with its cause. Answered requests are left out: they are no evidence of anything, and many.
Only here instants are wall-clock time; ids are a function of the run, so that sending it twice makes no second trace.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from lameduck.core.proof import Proof, Verdict
from lameduck.core.run import Run
from lameduck.report.inert import line
from lameduck.report.picture import Lost, Picture, PodRow

OK, ERROR = 1, 2
INTERNAL, CLIENT = 1, 3


def otlp(run: Run, proof: Proof, picture: Picture) -> str:
    """The document."""
    origin = run.wall_anchor
    trace = sha256(f"{run.wall_anchor} {run.load_started} {run.facts.name}".encode()).hexdigest()[:32]

    def span(name: str, start: int, end: int, told: Mapping[str, Any], **more: Any) -> dict[str, Any]:
        key = f"{trace} {name} {start} {told.get('lameduck.request', '')}"
        return {
            "traceId": trace,
            "spanId": sha256(key.encode()).hexdigest()[:16],
            "parentSpanId": root["spanId"] if root else "",
            "name": line(name, 120),
            "kind": INTERNAL,
            "startTimeUnixNano": str(origin + start),
            "endTimeUnixNano": str(origin + max(end, start)),
            "attributes": _attributes(told),
            **more,
        }

    root: dict[str, Any] = {}
    root = span("lameduck.prove", 0, picture.end, _of_proof(proof), status=_status(proof.verdict is not Verdict.FAILED))
    spans = [root]
    for band in picture.bands:
        told = {"lameduck.disruption": proof.disruption, "lameduck.completed": band.completed}
        until = picture.end if band.end is None else band.end
        spans.append(span(f"{proof.disruption} {band.name}", band.start, until, told, status=_status(band.completed)))
    for pod in picture.pods:
        events = [
            {
                "timeUnixNano": str(origin + each.at),
                "name": each.milestone.value,
                "attributes": _attributes({"lameduck.detail": each.words}),
            }
            for each in pod.moments
        ]
        spans.append(span(f"pod {pod.name}", *_life(pod, picture), {"k8s.pod.name": pod.name}, events=events))
    for each in picture.failures:
        name = f"request lost: {each.kind}"
        spans.append(
            span(name, each.start, each.end, _of_lost(each, proof, picture), kind=CLIENT, status=_status(False))
        )
    resource = {
        "service.name": "lameduck",
        "service.version": str(run.meta.get("lameduck", "")),
        "lameduck.workload": run.facts.name,
    }
    scope = {"scope": {"name": "lameduck"}, "spans": spans}
    document = {"resourceSpans": [{"resource": {"attributes": _attributes(resource)}, "scopeSpans": [scope]}]}
    return json.dumps(document, ensure_ascii=False) + "\n"


def _life(pod: PodRow, picture: Picture) -> tuple[int, int]:
    times = [each.at for each in pod.moments]
    going = any(name in {"leaving", "stopping"} for name, _, _ in pod.phases)
    return min(times, default=0), max(times, default=0) if going else picture.end


def _of_proof(proof: Proof) -> dict[str, Any]:
    return {
        "lameduck.verdict": proof.verdict.value,
        "lameduck.sentence": proof.sentence,
        "lameduck.requests": proof.requests,
        "lameduck.failed": proof.failed,
        "lameduck.upper_bound_95": proof.upper_bound,
        "lameduck.findings": ", ".join(each.defect.code for each in proof.findings),
    }


def _of_lost(lost: Lost, proof: Proof, picture: Picture) -> dict[str, Any]:
    finding = proof.findings[lost.finding].defect.code if lost.finding >= 0 else ""
    return {
        "error.type": lost.kind,
        "http.response.status_code": lost.status or None,
        "k8s.pod.name": picture.pods[lost.pods[0]].name if len(lost.pods) == 1 else None,
        "lameduck.candidates": len(lost.pods) if len(lost.pods) > 1 else None,
        "lameduck.request": lost.seq,
        "lameduck.lane": lost.lane,
        "lameduck.stage": lost.stage,
        "lameduck.cause": finding,
        "lameduck.because": lost.because,
    }


def _status(good: bool) -> dict[str, int]:
    return {"code": OK if good else ERROR}


def _attributes(told: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"key": key, "value": _value(value)} for key, value in told.items() if value not in {None, ""}]


def _value(value: bool | float | str) -> dict[str, Any]:
    """An AnyValue; 64-bit numbers are text in OTLP/JSON."""
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    return {"doubleValue": value} if isinstance(value, float) else {"stringValue": line(value, 500)}
