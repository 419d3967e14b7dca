"""Dying pods stay in rotation (LD601, publish-not-ready).

What it finds
    publishNotReadyAddresses on a Service that serves clients.

Why it loses requests
    With publishNotReadyAddresses a terminating pod stays ready in EndpointSlices until it is gone.

Fix and its safety
    Unsafe: false.

When not to care
    Headless Services for the discovery of peers.

Evidence
    EndpointSlice controller, podToEndpoint.
"""

from __future__ import annotations

from lameduck.core.finding import Defect, Severity

DEFECT = Defect(
    "LD601",
    "publish-not-ready",
    "Dying pods stay in rotation",
    "With publishNotReadyAddresses a terminating pod stays ready in EndpointSlices until it is gone.",
    Severity.ERROR,
)
