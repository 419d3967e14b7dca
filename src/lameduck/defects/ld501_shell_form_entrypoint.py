"""The shell form puts a shell in front of the server (LD501, shell-form-entrypoint).

What it finds
    ENTRYPOINT or CMD as a plain string, or sh -c in an exec form or a manifest's command.

Why it loses requests
    /bin/sh -c stays PID 1 in dash and does not forward SIGTERM; in busybox ash and bash it replaces itself, so the
    same line works or fails with the base image.

Fix and its safety
    Safe: the JSON form where no shell syntax is needed; else exec in front (unsafe).

When not to care
    HEALTHCHECK and RUN are not judged.

Evidence
    Measured: sh -c in dash never replaces itself; ash and bash do for the last simple command.
"""

from __future__ import annotations

from lameduck.core.finding import Defect, Severity

DEFECT = Defect(
    "LD501",
    "shell-form-entrypoint",
    "The shell form puts a shell in front of the server",
    "/bin/sh -c stays PID 1 in dash and does not forward SIGTERM; in busybox ash and bash it replaces itself, "
    "so the same line works or fails with the base image.",
    Severity.ERROR,
)
