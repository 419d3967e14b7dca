"""lifecycle.stopSignal may have no effect (LD108, stop-signal-without-effect).

What it finds
    lifecycle.stopSignal in a manifest, with the version unknown or a version where the gate is off by default.

Why it loses requests
    Unless the feature gate ContainerStopSignals is on, the API drops the field silently and the image's STOPSIGNAL
    rules.

Fix and its safety
    None: put STOPSIGNAL into the image, which every runtime honours.

When not to care
    Clusters where the gate is known to be on.

Evidence
    KEP-4960; off by default in the code of 1.33 to 1.37.
"""

from __future__ import annotations

from lameduck.core.finding import Defect, Severity

DEFECT = Defect(
    "LD108",
    "stop-signal-without-effect",
    "lifecycle.stopSignal may have no effect",
    "Unless the feature gate ContainerStopSignals is on, the API drops the field silently and the image's "
    "STOPSIGNAL rules.",
    Severity.INFO,
)
