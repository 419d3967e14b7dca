"""Not there after a crash (LD917, process-crashed).

What is seen
    A connect that was refused or timed out by a pod whose first process had ended by itself and was not serving again
    yet; nobody had told it to stop.

Why it happens
    A crash comes without a warning: until the pod's readiness is lost and every node knows, new connections still go
    to it. No preStop is run and no grace period is given.

Usual causes
    A fault of the process, out of memory, a failed liveness probe; or `lameduck prove --disrupt crash`, which asks for
    it.

What to do
    Mend the crash. Clients that retry what is safe to retry are the only cure for those that come.
"""

from __future__ import annotations

from lameduck.core.finding import Defect, Severity

DEFECT = Defect(
    "LD917",
    "process-crashed",
    "Not there after a crash",
    "The pod's process had ended by itself, and connections were routed to it until every node knew.",
    Severity.ERROR,
)
