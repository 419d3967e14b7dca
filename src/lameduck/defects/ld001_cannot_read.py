"""A file cannot be read (LD001, cannot-read).

What it finds
    A YAML document, Dockerfile or start script that cannot be parsed. The other files and documents are still
    checked.

Why it loses requests
    What cannot be read is not checked, so nothing is known about it.

Fix and its safety
    None: mend the syntax, or, for a Helm chart, lint what it renders: helm template . | lameduck lint -
"""

from __future__ import annotations

from lameduck.core.finding import Defect, Severity

DEFECT = Defect(
    "LD001",
    "cannot-read",
    "A file cannot be read",
    "What cannot be read is not checked, so nothing is known about it.",
    Severity.WARNING,
)
