"""Refused or swallowed after the stop signal (LD901, refused-or-swallowed).

What is seen
    A connect that was refused, timed out or found no route, to a pod that had been told to stop, while its
    endpoint had been taken out no longer than the propagation lag ago. A dead pod refuses for some 80 ms and is
    silent afterwards, so time-outs are the same failure.

Why it happens
    Connections were routed to a pod that no longer listened: an endpoint leaves the nodes' tables later than the
    stop signal arrives.

Usual causes
    LD101 where no preStop delayed the stop signal; LD104 or LD105 where the hook failed within half a second;
    LD109 where it ended before the lag was over; LD202 or LD201 where no endpoint was left at all.

What to do
    A preStop that outlasts the measured lag. Finishing what is in flight does not help these requests.
"""

from __future__ import annotations

from lameduck.core.finding import Defect, Severity

DEFECT = Defect(
    "LD901",
    "refused-or-swallowed",
    "Refused or swallowed after the stop signal",
    "Connections were routed to a pod that no longer listened: an endpoint leaves the nodes' tables later than the "
    "stop signal arrives.",
    Severity.ERROR,
)
