"""A DaemonSet that leaves its node without a server (LD207, daemonset-gap).

What it finds
    A DaemonSet behind a Service whose traffic stays on the node (internalTrafficPolicy or externalTrafficPolicy
    Local).

Why it loses requests
    Its default is maxUnavailable 1 and maxSurge 0: the old pod of a node ends before the new one starts.

Fix and its safety
    Unsafe: maxSurge 1 and maxUnavailable 0 (Kubernetes 1.25 and newer, not with a host port).

When not to care
    Node agents that serve nobody.

Evidence
    KEP-1591.
"""

from __future__ import annotations

from lameduck.core.finding import Defect, Severity

DEFECT = Defect(
    "LD207",
    "daemonset-gap",
    "A DaemonSet that leaves its node without a server",
    "Its default is maxUnavailable 1 and maxSurge 0: the old pod of a node ends before the new one starts.",
    Severity.WARNING,
)
