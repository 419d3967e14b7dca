"""Defects, findings and fixes: one schema for lint, proof and repair.

Law: a finding is located (a file span or a proof span), graded, and fixable or said not to be. One without a location
is refused. ``code`` is the defect where the evidence decides it, else the symptom (``LD9xx``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Severity(StrEnum):
    """How bad the defect is for a rollout under traffic."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


class Confidence(StrEnum):
    """How sure the evidence makes us."""

    CERTAIN = "certain"
    LIKELY = "likely"
    POSSIBLE = "possible"


class Safety(StrEnum):
    """Whether a fix can be applied without a person's judgement."""

    SAFE = "safe"
    UNSAFE = "unsafe"


@dataclass(frozen=True, slots=True)
class Defect:
    """What is wrong in general: the catalogue's entry. One file under ``defects/`` each."""

    code: str
    slug: str
    title: str
    why: str
    """Why it loses requests, in one or two sentences."""
    severity: Severity


@dataclass(frozen=True, slots=True)
class FileSpan:
    """A place in a file; lines and columns count from 1, the end is exclusive."""

    file: str
    line: int
    column: int
    end_line: int
    end_column: int


@dataclass(frozen=True, slots=True)
class ProofSpan:
    """A place in a proof: which pods, which lane ("" for both), from when to when (instants, ns)."""

    pods: tuple[str, ...]
    lane: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Edit:
    """Replace the characters ``start:end`` of a file's text by ``text``."""

    start: int
    end: int
    text: str


@dataclass(frozen=True, slots=True)
class Patch:
    """Edits of one file, or, where no file is known, a snippet in the language of the place it belongs to."""

    file: str
    edits: tuple[Edit, ...] = ()
    snippet: str = ""


@dataclass(frozen=True, slots=True)
class Fix:
    """A set of changes that belong together. A set, since single mends can make it worse."""

    title: str
    safety: Safety
    patches: tuple[Patch, ...] = ()


@dataclass(frozen=True, slots=True)
class Finding:
    """One defect or symptom at one place, with its evidence and its fix.

    Raises `ValueError` without a location: a finding that points nowhere helps nobody.
    """

    defect: Defect
    message: str
    confidence: Confidence
    locations: tuple[FileSpan | ProofSpan, ...]
    symptom: str = ""
    """The ``LD9xx`` that was seen, in a proof; "" in lint."""
    count: int = 1
    evidence: tuple[str, ...] = ()
    fix: Fix | None = None
    severity: Severity | None = None
    """Where it differs from the defect's own."""

    def __post_init__(self) -> None:
        if not self.locations:
            raise ValueError(f"{self.defect.code}: a finding needs a location")

    def as_dict(self) -> dict[str, Any]:
        """The finding in the one schema of every machine format (JSON types only)."""
        place = next((span for span in self.locations if isinstance(span, FileSpan)), None)
        proof = [span for span in self.locations if isinstance(span, ProofSpan)]
        return {
            "code": self.defect.code,
            "symptom": self.symptom or None,
            "slug": self.defect.slug,
            "title": self.defect.title,
            "severity": (self.severity or self.defect.severity).value,
            "confidence": self.confidence.value,
            "message": self.message,
            "count": self.count,
            "file": place.file if place else None,
            "line": place.line if place else None,
            "column": place.column if place else None,
            "spans": [
                {"pods": list(span.pods), "lane": span.lane or None, "from_ns": span.start, "to_ns": span.end}
                for span in proof
            ],
            "evidence": list(self.evidence),
            "fix": _fix_as_dict(self.fix),
        }


def _fix_as_dict(fix: Fix | None) -> Mapping[str, Any] | None:
    if fix is None:
        return None
    return {
        "title": fix.title,
        "safety": fix.safety.value,
        "patches": [
            {
                "file": patch.file or None,
                "snippet": patch.snippet or None,
                "edits": [{"start": e.start, "end": e.end, "text": e.text} for e in patch.edits],
            }
            for patch in fix.patches
        ],
    }
