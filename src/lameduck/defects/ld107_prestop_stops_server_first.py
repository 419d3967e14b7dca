"""The preStop hook stops the server at once (LD107, prestop-stops-server-first).

What it finds
    A hook that runs nginx -s quit, kill 1, apachectl graceful-stop or a shutdown endpoint without sleeping before.

Why it loses requests
    It closes the listening socket while the pod still gets traffic, and returns before the work in flight is done.

Fix and its safety
    Unsafe: sleep instead, and let the image's stop signal do the graceful stop.

When not to care
    A hook that itself waits or polls until the traffic is gone.

Evidence
    kubelet killContainer: the stop signal follows as soon as the hook returns.
"""

from __future__ import annotations

from lameduck.core.finding import Defect, Severity

DEFECT = Defect(
    "LD107",
    "prestop-stops-server-first",
    "The preStop hook stops the server at once",
    "It closes the listening socket while the pod still gets traffic, and returns before the work in flight is done.",
    Severity.WARNING,
)
