"""The preStop command cannot do what was meant (LD105, prestop-command-broken).

What it finds
    ["sh", "-c", "sleep", "15"] (sleep without operand), ["sleep 15"] (one word as program name), sleep under exec,
    httpGet to a port that no container has.

Why it loses requests
    It fails or returns at once, so there is no delay: only a FailedPreStopHook event tells.

Fix and its safety
    Safe: the native sleep with the number that was meant.

When not to care
    A real $0 argument after sh -c.

Evidence
    kubelet executePreStopHook; sh(1): the word after the command string is $0.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lameduck.core.finding import Defect, Fix, Safety, Severity
from lameduck.defects.snippets import drain_window

DEFECT = Defect(
    "LD105",
    "prestop-command-broken",
    "The preStop command cannot do what was meant",
    "It fails or returns at once, so there is no delay: only a FailedPreStopHook event tells.",
    Severity.ERROR,
)


def proof_fix(facts: Mapping[str, Any]) -> Fix | None:
    """The native sleep with the seconds that are needed; facts: ``pre_stop_seconds``, ``grace_seconds`` (int, s)."""
    return drain_window(facts, Safety.SAFE)
