"""The server closes idle connections before its caller does (LD605, keepalive-shorter-than-lb).

What it finds
    A known server's keep-alive (gunicorn 2 s, uvicorn and node 5 s) below the idle time-out of the configured path
    (ALB 60 s).

Why it loses requests
    The caller reuses a connection in the moment the server closes it: the request is reset without any rollout.

Fix and its safety
    Unsafe: the server's keep-alive above the caller's.

When not to care
    Callers that close first.

Evidence
    Defaults read in source.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lameduck.core.finding import Defect, Fix, Severity
from lameduck.defects.snippets import keep_alive

DEFECT = Defect(
    "LD605",
    "keepalive-shorter-than-lb",
    "The server closes idle connections before its caller does",
    "The caller reuses a connection in the moment the server closes it: the request is reset without any rollout.",
    Severity.WARNING,
)


def proof_fix(facts: Mapping[str, Any]) -> Fix | None:
    """The keep-alive of the server above its caller's; facts: ``server`` (str), ``caller_idle_seconds`` (int, s)."""
    return keep_alive(facts)
