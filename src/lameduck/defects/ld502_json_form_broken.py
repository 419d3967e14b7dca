"""The exec form is not valid JSON (LD502, json-form-broken).

What it finds
    Single quotes, a trailing comma, a missing bracket in ENTRYPOINT or CMD.

Why it loses requests
    Docker then takes the whole line as a shell command, without an error: not the program that was meant.

Fix and its safety
    Safe: valid JSON.

Evidence
    Dockerfile reference: the exec form is parsed as a JSON array.
"""

from __future__ import annotations

from lameduck.core.finding import Defect, Severity

DEFECT = Defect(
    "LD502",
    "json-form-broken",
    "The exec form is not valid JSON",
    "Docker then takes the whole line as a shell command, without an error: not the program that was meant.",
    Severity.ERROR,
)
