"""Broken without any rollout (LD915, broken-without-rollout).

What is seen
    Same lane, stage, kind and status in the baseline, at a like rate (Fisher's exact test, p >= 0.01).

Why it happens
    The same failure was there, as often, before anything was disrupted.

Usual causes
    The service itself, or the request that is sent to it.

What to do
    Make a control run clean first: lameduck prove --rollouts 0.
"""

from __future__ import annotations

from lameduck.core.finding import Defect, Severity

DEFECT = Defect(
    "LD915",
    "broken-without-rollout",
    "Broken without any rollout",
    "The same failure was there, as often, before anything was disrupted.",
    Severity.ERROR,
)
