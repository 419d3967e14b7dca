"""The server's drain limit is shorter than its requests (LD801, drain-shorter-than-requests).

What it finds
    A known drain limit below the configured max-request-seconds.

Why it loses requests
    It gives up waiting and cuts what is in flight.

Fix and its safety
    Unsafe: the server's flag.

Evidence
    Measured and read in source.
"""

from __future__ import annotations

from collections.abc import Iterator

from lameduck.core.finding import Confidence, Defect, Finding, Severity
from lameduck.defects.lintkit import finding, starting
from lameduck.manifests.limits import limit
from lameduck.manifests.project import Project

DEFECT = Defect(
    "LD801",
    "drain-shorter-than-requests",
    "The server's drain limit is shorter than its requests",
    "It gives up waiting and cuts what is in flight.",
    Severity.WARNING,
)


def lint(project: Project) -> Iterator[Finding]:
    """Known servers that give up before the longest request is done."""
    longest = project.settings.max_request_seconds
    if longest is None:
        return
    for program in starting(project):
        server, at = program.chain.server, program.chain.server_at
        if server is None or at is None:
            continue
        given = limit(program.chain, server.drain_flags, project.read)
        seconds = server.drain if given.seconds is None and not given.unseen else given.seconds
        if seconds is not None and seconds < longest:
            text, start, end = at
            flag = f"; {server.drain_flags[0]} sets it" if server.drain_flags else ""
            message = f"{server.name} waits {seconds:g} s for requests in flight, and they may take {longest:g} s{flag}"
            yield finding(DEFECT, message, text.span(start, end), Confidence.LIKELY)
