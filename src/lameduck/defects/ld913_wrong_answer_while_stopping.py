"""Wrong answer while stopping (LD913, wrong-answer-while-stopping).

What is seen
    A status or body that was not expected, from a pod after its stop signal and never before it.

Why it happens
    A pod that had been told to stop still answered, and wrongly.

Usual causes
    Servers that unload first and answer 400, 404 or 503 meanwhile (model servers, Undertow's graceful handler).

What to do
    A preStop, so that no traffic comes while the app takes itself down.
"""

from __future__ import annotations

from lameduck.core.finding import Defect, Severity

DEFECT = Defect(
    "LD913",
    "wrong-answer-while-stopping",
    "Wrong answer while stopping",
    "A pod that had been told to stop still answered, and wrongly.",
    Severity.ERROR,
)
