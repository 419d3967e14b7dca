"""A native sidecar's preStop stops it too early (LD702, sidecar-prestop-too-early).

What it finds
    A native sidecar whose preStop stops it (quitquitquit, -s quit, kill 1).

Why it loses requests
    All preStop hooks start at once, only the signal waits its turn.

Fix and its safety
    Unsafe: remove the hook.

Evidence
    kubelet killContainer calls the hook before waitForTurn.
"""

from __future__ import annotations

from lameduck.core.finding import Defect, Severity

DEFECT = Defect(
    "LD702",
    "sidecar-prestop-too-early",
    "A native sidecar's preStop stops it too early",
    "All preStop hooks start at once, only the signal waits its turn.",
    Severity.ERROR,
)
