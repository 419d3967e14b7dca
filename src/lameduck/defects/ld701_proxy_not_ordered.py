"""A proxy that is stopped together with the server (LD701, proxy-not-ordered).

What it finds
    A known proxy image as an ordinary container beside a serving one.

Why it loses requests
    As an ordinary container it gets the stop signal at the same time, and the server's last requests lose their
    way.

Fix and its safety
    Unsafe: a native sidecar (restartPolicy Always in initContainers, 1.29 and newer).

When not to care
    Injected meshes do not show in the manifest.

Evidence
    KEP-753.
"""

from __future__ import annotations

from lameduck.core.finding import Defect, Severity

DEFECT = Defect(
    "LD701",
    "proxy-not-ordered",
    "A proxy that is stopped together with the server",
    "As an ordinary container it gets the stop signal at the same time, and the server's last requests lose their way.",
    Severity.WARNING,
)
