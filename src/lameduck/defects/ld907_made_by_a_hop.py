"""Error made by a hop (LD907, made-by-a-hop).

What is seen
    A 502, 503 or 504 whose headers or body are not the app's.

Why it happens
    A proxy between client and pod made the error answer: the pod never saw the request, or died with it.

Usual causes
    LD101 behind an ingress that still dials the pod, LD603, LD604.

What to do
    What the pod needs: a preStop that outlasts the hop's own lag.
"""

from __future__ import annotations

from lameduck.core.finding import Defect, Severity

DEFECT = Defect(
    "LD907",
    "made-by-a-hop",
    "Error made by a hop",
    "A proxy between client and pod made the error answer: the pod never saw the request, or died with it.",
    Severity.ERROR,
)
