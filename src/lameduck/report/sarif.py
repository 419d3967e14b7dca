"""Findings of lint as SARIF 2.1.0, for code scanning.

Law: valid against the schema; ``results`` is there also when nothing was found; regions are real; paths are relative;
a fingerprint survives moved lines, since it is made of the code, the file and the line's own text.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from lameduck import __version__
from lameduck.core.finding import FileSpan, Finding, Fix, Severity
from lameduck.defects import module
from lameduck.defects.linting import Outcome, place_of, severity_of
from lameduck.manifests.text import Text

_LEVELS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "note"}
SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
HELP = "https://lameduck.readthedocs.io/en/latest/catalogue/"


def sarif(outcome: Outcome, lines: Callable[[str], Text | None]) -> str:
    """The findings as a SARIF log."""
    codes = sorted({one.defect.code for one in outcome.findings})
    log = {
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "lameduck",
                        "semanticVersion": __version__,
                        "rules": [_rule(code) for code in codes],
                    }
                },
                "columnKind": "unicodeCodePoints",
                "results": [_result(one, codes, lines) for one in outcome.findings],
            }
        ],
    }
    return json.dumps(log, indent=2, ensure_ascii=False) + "\n"


def _rule(code: str) -> dict[str, Any]:
    found = module(code)
    defect, page = found.DEFECT, found.__doc__ or ""
    return {
        "id": code,
        "name": defect.slug,
        "shortDescription": {"text": defect.title},
        "fullDescription": {"text": defect.why},
        "help": {"text": page, "markdown": page},
        "helpUri": f"{HELP}{code.lower()}/",
        "defaultConfiguration": {"level": _LEVELS[defect.severity]},
    }


def _result(one: Finding, codes: list[str], lines: Callable[[str], Text | None]) -> dict[str, Any]:
    place = place_of(one)
    result: dict[str, Any] = {
        "ruleId": one.defect.code,
        "ruleIndex": codes.index(one.defect.code),
        "level": _LEVELS[severity_of(one)],
        "message": {"text": one.message},
        "locations": [{"physicalLocation": {"artifactLocation": _artifact(place.file), "region": _region(place)}}],
        "partialFingerprints": {"lameduck/v1": fingerprint(one, lines)},
        "properties": {"confidence": str(one.confidence)},
    }
    fixes = _fix(one.fix, lines) if one.fix else None
    if fixes:
        result["fixes"] = [fixes]
    return result


def fingerprint(one: Finding, lines: Callable[[str], Text | None]) -> str:
    """A name of a finding that survives moved lines; also what a baseline keeps."""
    place = place_of(one)
    text = lines(place.file)
    line = text.line(place.line).strip() if text else ""
    return hashlib.sha256("\0".join([one.defect.code, place.file, line]).encode()).hexdigest()[:24]


def _artifact(path: str) -> dict[str, str]:
    return {"uri": quote("stdin" if path == "-" else path)}


def _region(place: FileSpan) -> dict[str, int]:
    return {
        "startLine": place.line,
        "startColumn": place.column,
        "endLine": place.end_line,
        "endColumn": place.end_column,
    }


def _fix(fix: Fix, lines: Callable[[str], Text | None]) -> dict[str, Any] | None:
    changes = []
    for patch in fix.patches:
        text = lines(patch.file) if patch.file else None
        if text is None or not patch.edits:
            continue
        replacements = [
            {
                "deletedRegion": _deleted(text, edit.start, edit.end),
                "insertedContent": {"text": edit.text},
            }
            for edit in patch.edits
        ]
        changes.append({"artifactLocation": _artifact(patch.file), "replacements": replacements})
    title = f"{fix.title} ({fix.safety})"
    return {"description": {"text": title}, "artifactChanges": changes} if changes else None


def _deleted(text: Text, start: int, end: int) -> dict[str, int]:
    first, last = text.line_of(start), text.line_of(end)
    return {
        "startLine": first,
        "startColumn": start - text.starts[first - 1] + 1,
        "endLine": last,
        "endColumn": end - text.starts[last - 1] + 1,
    }
