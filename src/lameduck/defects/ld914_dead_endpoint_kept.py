"""The data plane keeps a dead endpoint (LD914, dead-endpoint-kept).

What is seen
    A connect that failed later than max(3 s, 2 x the lag's p95) after the endpoint stopped being ready.

Why it happens
    Connections were routed to a pod long after its endpoint had gone. No grace period helps.

Usual causes
    IPVS connection reuse, a reloaded proxy's old workers, a client that resolved once.

What to do
    Outside the pod: kube-proxy's mode and kernel settings, the proxy, the client's DNS cache.
"""

from __future__ import annotations

from lameduck.core.finding import Defect, Severity

DEFECT = Defect(
    "LD914",
    "dead-endpoint-kept",
    "The data plane keeps a dead endpoint",
    "Connections were routed to a pod long after its endpoint had gone. No grace period helps.",
    Severity.ERROR,
)
