"""This server has no graceful shutdown (LD803, no-graceful-shutdown).

What it finds
    daphne, waitress, flask run, manage.py runserver, http.server.

Why it loses requests
    On the stop signal it ends at once: requests in flight are cut, whatever the manifests say.

Fix and its safety
    None: another server.

Evidence
    Measured: cut at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lameduck.core.finding import Defect, Fix, Severity

DEFECT = Defect(
    "LD803",
    "no-graceful-shutdown",
    "This server has no graceful shutdown",
    "On the stop signal it ends at once: requests in flight are cut, whatever the manifests say.",
    Severity.ERROR,
)


def proof_fix(facts: Mapping[str, Any]) -> Fix | None:  # noqa: ARG001
    """None: this server has no graceful shutdown, another one is needed."""
    return None
