"""A file cannot be read (LD001, cannot-read).

What it finds
    A YAML document, Dockerfile or start script that cannot be parsed. The other files and documents are still
    checked.

Why it loses requests
    What cannot be read is not checked, so nothing is known about it.

Fix and its safety
    None: mend the syntax, or, for a Helm chart, lint what it renders: helm template . | lameduck lint -

Example
    web.yaml:
        kind: Deployment
        metadata:
          name: web
         bad: [
"""

from __future__ import annotations

from collections.abc import Iterator

from lameduck.core.finding import Confidence, Defect, Finding, Severity
from lameduck.defects.lintkit import finding
from lameduck.manifests.project import Project

DEFECT = Defect(
    "LD001",
    "cannot-read",
    "A file cannot be read",
    "What cannot be read is not checked, so nothing is known about it.",
    Severity.WARNING,
)


def lint(project: Project) -> Iterator[Finding]:
    """Every file or document that could not be read."""
    for fault in project.faults:
        end = fault.text.line_end(min(fault.offset, len(fault.text.content)))
        place = fault.text.span(fault.offset, max(end, fault.offset + 1))
        yield finding(DEFECT, f"cannot be read and was not checked: {fault.problem}", place, Confidence.CERTAIN)
