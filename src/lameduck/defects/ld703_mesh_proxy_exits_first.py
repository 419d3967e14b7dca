"""The mesh proxy leaves before the server has drained (LD703, mesh-proxy-exits-first).

What it finds
    Istio terminationDrainDuration below the preStop, Linkerd wait seconds below it, Cloud SQL proxy without a
    maximum delay.

Why it loses requests
    Its own drain time is shorter than the server's: the last answers have no way out.

Fix and its safety
    Unsafe: a longer drain of the proxy.

When not to care
    Native sidecar mode.
"""

from __future__ import annotations

from lameduck.core.finding import Defect, Severity

DEFECT = Defect(
    "LD703",
    "mesh-proxy-exits-first",
    "The mesh proxy leaves before the server has drained",
    "Its own drain time is shorter than the server's: the last answers have no way out.",
    Severity.WARNING,
)
