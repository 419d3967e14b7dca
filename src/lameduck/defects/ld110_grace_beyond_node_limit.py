"""A grace period that node removal will not honour (LD110, grace-beyond-node-limit).

What it finds
    terminationGracePeriodSeconds above 600 on a pod that serves traffic.

Why it loses requests
    The cluster autoscaler waits 600 s by default (max-graceful-termination-sec), then the node goes.

Fix and its safety
    None.

When not to care
    Node pools that are never scaled down.

Evidence
    Cluster autoscaler flag max-graceful-termination-sec.
"""

from __future__ import annotations

from lameduck.core.finding import Defect, Severity

DEFECT = Defect(
    "LD110",
    "grace-beyond-node-limit",
    "A grace period that node removal will not honour",
    "The cluster autoscaler waits 600 s by default (max-graceful-termination-sec), then the node goes.",
    Severity.INFO,
)
