"""The manifest's command bypasses the image's init (LD508, command-bypasses-init).

What it finds
    command in a manifest over an ENTRYPOINT that had an init.

Why it loses requests
    command replaces ENTRYPOINT: the init or the exec wrapper of the image is gone.

Fix and its safety
    None.

Evidence
    Pod API: command replaces ENTRYPOINT, args replaces CMD.
"""

from __future__ import annotations

from lameduck.core.finding import Defect, Severity

DEFECT = Defect(
    "LD508",
    "command-bypasses-init",
    "The manifest's command bypasses the image's init",
    "command replaces ENTRYPOINT: the init or the exec wrapper of the image is gone.",
    Severity.WARNING,
)
