"""The preStop hook runs a program that the image does not have (LD104, prestop-needs-missing-binary).

What it finds
    An exec hook that calls sh or sleep in a distroless, scratch or static image.

Why it loses requests
    The hook fails with an event nobody reads (FailedPreStopHook) and the stop signal follows at once: there is no
    delay at all.

Fix and its safety
    Safe: the native sleep action of the same seconds (Kubernetes 1.30 and newer).

When not to care
    The :debug tags of distroless have busybox.

Evidence
    kubelet executePreStopHook.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lameduck.core.finding import Defect, Fix, Safety, Severity
from lameduck.defects.snippets import drain_window

DEFECT = Defect(
    "LD104",
    "prestop-needs-missing-binary",
    "The preStop hook runs a program that the image does not have",
    "The hook fails with an event nobody reads (FailedPreStopHook) and the stop signal follows at once: there "
    "is no delay at all.",
    Severity.ERROR,
)


def proof_fix(facts: Mapping[str, Any]) -> Fix | None:
    """The native sleep needs no program in the image; facts: ``pre_stop_seconds``, ``grace_seconds`` (int, s)."""
    return drain_window(facts, Safety.SAFE)
