"""The server runs in a pipeline (LD407, pipe-hides-app).

What it finds
    server | tee file, also with exec, also in the background.

Why it loses requests
    A pipeline is run by children: the shell stays PID 1, exec or not, and swallows the signal; $! is the pid of the
    last command.

Fix and its safety
    Unsafe: log to standard output; in bash exec server > >(tee file).

Evidence
    Measured in three shells.
"""

from __future__ import annotations

from lameduck.core.finding import Defect, Severity

DEFECT = Defect(
    "LD407",
    "pipe-hides-app",
    "The server runs in a pipeline",
    "A pipeline is run by children: the shell stays PID 1, exec or not, and swallows the signal; $! is the pid "
    "of the last command.",
    Severity.ERROR,
)
