"""What the HTML report's script reads: the picture and the findings as compact JSON, safe inside a script block.

Law: no text can end the block or act: ``<``, ``>``, ``&`` and line separators are escapes in it. Times are seconds, but
those of failures, which are microseconds: the first from the start of the load, the others from the intended start.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from lameduck.core.finding import Finding, ProofSpan
from lameduck.core.instants import MILLISECOND, SECOND
from lameduck.core.proof import Proof
from lameduck.core.recording import Names
from lameduck.report.inert import line
from lameduck.report.picture import Lost, Picture, PodRow

MOST_CANDIDATES = 12
"""Candidate pods that are named for one failure; more would say nothing."""


def page_data(proof: Proof, picture: Picture) -> str:
    """The JSON text."""
    words = Names()
    rows = {pod.name: number for number, pod in enumerate(picture.pods)}
    data = {
        "end": _s(picture.end),
        "bin": _s(picture.bin),
        "disruption": line(proof.disruption),
        "answered": {lane: list(counts) for lane, counts in picture.answered.items()},
        "lost": {lane: list(counts) for lane, counts in picture.lost.items()},
        "p50": [_ms(value) for value in picture.p50],
        "p99": [_ms(value) for value in picture.p99],
        "slow": [[_s(each.start), _ms(each.took), each.seq, each.lane, line(each.pod, 80)] for each in picture.slow],
        "pods": [_pod(pod) for pod in picture.pods],
        "bands": [
            [line(b.name, 40), _s(b.start), None if b.end is None else _s(b.end), b.completed] for b in picture.bands
        ],
        "stalls": [[_s(start), _s(end)] for start, end in picture.stalls],
        "failures": _failures(picture.failures, lambda text: words.index(line(text, 300))),
        "findings": [_finding(finding, rows) for finding in proof.findings],
        "words": words.texts,
    }
    return embed(data)


def embed(data: Any) -> str:
    """JSON that is inert inside HTML."""
    text = json.dumps(data, ensure_ascii=True, separators=(",", ":"))
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _s(ns: int) -> float:
    return round(ns / SECOND, 4)


def _ms(ns: int | None) -> float | None:
    return None if ns is None else round(ns / MILLISECOND, 3)


def _pod(pod: PodRow) -> dict[str, Any]:
    return {
        "name": line(pod.name, 80),
        "phases": [[name, _s(start), _s(end)] for name, start, end in pod.phases],
        "marks": [[each.milestone.value, _s(each.at), line(each.words, 200)] for each in pod.moments],
    }


def _finding(finding: Finding, rows: dict[str, int]) -> dict[str, Any]:
    pods = {name for span in finding.locations if isinstance(span, ProofSpan) for name in span.pods}
    return {
        "code": finding.defect.code,
        "slug": finding.defect.slug,
        "pods": sorted(rows[name] for name in pods if name in rows),
    }


def _failures(failures: Sequence[Lost], word: Callable[[str], int]) -> dict[str, list[Any]]:
    """A column for each field; texts by their number."""

    def since(each: Lost, at: int | None) -> int | None:
        return None if at is None else (at - each.start) // 1_000

    return {
        "seq": [each.seq for each in failures],
        "lane": [word(each.lane) for each in failures],
        "stage": [word(each.stage) for each in failures],
        "kind": [word(each.kind) for each in failures],
        "errno": [each.errno for each in failures],
        "detail": [word(each.detail) for each in failures],
        "status": [each.status for each in failures],
        "start": [each.start // 1_000 for each in failures],
        "actual": [since(each, each.actual_start) for each in failures],
        "connected": [since(each, each.connected) for each in failures],
        "sent": [since(each, each.sent) for each in failures],
        "first": [since(each, each.first_byte) for each in failures],
        "end": [since(each, each.end) for each in failures],
        "connection": [each.connection for each in failures],
        "nth": [each.nth_on_connection for each in failures],
        "idle": [each.idle // 1_000 for each in failures],
        "port": [each.local_port for each in failures],
        "peer": [word(each.peer) for each in failures],
        "size": [each.size for each in failures],
        "pods": [list(each.pods[:MOST_CANDIDATES]) for each in failures],
        "tie": [word(each.tie) for each in failures],
        "moment": [word(each.moment) for each in failures],
        "finding": [each.finding for each in failures],
        "because": [word(each.because) for each in failures],
    }
