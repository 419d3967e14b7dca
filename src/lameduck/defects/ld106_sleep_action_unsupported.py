"""The cluster is too old for preStop.sleep (LD106, sleep-action-unsupported).

What it finds
    lifecycle.preStop.sleep while the Kubernetes version asked for is 1.29 or older.

Why it loses requests
    Before 1.30 the field is unknown or its gate is off: the API drops it silently, and there is no delay.

Fix and its safety
    Unsafe: an exec sleep, where the image has one.

Evidence
    KEP-3960: alpha (off) in 1.29, beta (on) in 1.30, stable in 1.34.
"""

from __future__ import annotations

from lameduck.core.finding import Defect, Severity

DEFECT = Defect(
    "LD106",
    "sleep-action-unsupported",
    "The cluster is too old for preStop.sleep",
    "Before 1.30 the field is unknown or its gate is off: the API drops it silently, and there is no delay.",
    Severity.ERROR,
)
