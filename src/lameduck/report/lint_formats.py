"""Findings of lint for machines and forges: JSON, GitHub annotations, JUnit, Markdown.

Law: the JSON is the one finding schema, versioned; the others say the same in their reader's words and lose nothing
of code, place, severity and message.
"""

from __future__ import annotations

import json
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from lameduck.core.finding import Finding, Severity
from lameduck.defects.linting import Outcome, place_of, severity_of

SCHEMA_VERSION = 1


def as_dict(outcome: Outcome) -> dict[str, Any]:
    """The findings in the one schema."""
    return {
        "version": SCHEMA_VERSION,
        "findings": [finding_dict(one) for one in outcome.findings],
        "suppressed": outcome.suppressed,
    }


def finding_dict(one: Finding) -> dict[str, Any]:
    """One finding in the one schema, with the end of its place."""
    place = place_of(one)
    return {**one.as_dict(), "end_line": place.end_line, "end_column": place.end_column}


def as_json(outcome: Outcome) -> str:
    """The findings as JSON."""
    return json.dumps(as_dict(outcome), indent=2, ensure_ascii=False) + "\n"


def github(outcome: Outcome) -> str:
    """GitHub workflow commands: one annotation for each finding."""
    names = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "notice"}
    lines = []
    for one in outcome.findings:
        place = place_of(one)
        title = _property(f"{one.defect.code} {one.defect.slug}")
        where = f"file={_property(place.file)},line={place.line},endLine={place.end_line},col={place.column}"
        lines.append(f"::{names[severity_of(one)]} {where},title={title}::{_data(one.message)}")
    return "".join(f"{line}\n" for line in lines)


def _data(words: str) -> str:
    return words.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(words: str) -> str:
    return _data(words).replace(":", "%3A").replace(",", "%2C")


def junit(outcome: Outcome, files: list[str]) -> str:
    """JUnit XML: one test case for each file, one failure for each finding."""
    by_file: dict[str, list[Finding]] = {path: [] for path in sorted(files)}
    for one in outcome.findings:
        by_file.setdefault(place_of(one).file, []).append(one)
    failed = sum(severity_of(one) is not Severity.INFO for one in outcome.findings)
    lines = ['<?xml version="1.0" encoding="utf-8"?>']
    lines.append(f'<testsuites><testsuite name="lameduck lint" tests="{len(by_file)}" failures="{failed}" errors="0">')
    for path, findings in by_file.items():
        lines.append(f'<testcase classname="lameduck.lint" name={quoteattr(path)}>')
        for one in findings:
            place = place_of(one)
            body = escape(f"{path}:{place.line}:{place.column}: {_printable(one.message)}")
            if severity_of(one) is Severity.INFO:
                lines.append(f"<system-out>{one.defect.code} {body}</system-out>")
            else:
                head = quoteattr(f"{one.defect.code} {one.defect.slug}")
                lines.append(f'<failure type="{severity_of(one)}" message={head}>{body}</failure>')
        lines.append("</testcase>")
    return "\n".join([*lines, "</testsuite></testsuites>", ""])


def _printable(words: str) -> str:
    return "".join(one if one.isprintable() or one in "\n\t" else "?" for one in words)


def markdown(outcome: Outcome) -> str:
    """A table for a pull request's comment or a job's summary."""
    if not outcome.findings:
        return "**lameduck lint**: nothing found\n"
    lines = [
        f"**lameduck lint**: {len(outcome.findings)} findings",
        "",
        "| | code | where | what happens |",
        "|---|---|---|---|",
    ]
    marks = {Severity.ERROR: "❌", Severity.WARNING: "⚠️", Severity.INFO: "ℹ️"}
    for one in outcome.findings:
        place = place_of(one)
        fix = f"<br>fix: {_cell(one.fix.title)} ({one.fix.safety})" if one.fix else ""
        where = f"`{place.file}:{place.line}`"
        lines.append(f"| {marks[severity_of(one)]} | {one.defect.code} | {where} | {_cell(one.message)}{fix} |")
    return "\n".join([*lines, ""])


def _cell(words: str) -> str:
    return words.replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")
