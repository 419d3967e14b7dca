"""The server closes idle connections before its caller does (LD605, keepalive-shorter-than-lb).

What it finds
    A known server's keep-alive (gunicorn 2 s, uvicorn and node 5 s) below the idle time-out of the configured path
    (ALB 60 s).

Why it loses requests
    The caller reuses a connection in the moment the server closes it: the request is reset without any rollout.

Fix and its safety
    Unsafe: the server's keep-alive above the caller's.

When not to care
    Callers that close first.

Evidence
    Defaults read in source.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from lameduck.core.finding import Confidence, Defect, Finding, Fix, Severity
from lameduck.defects.lintkit import advice, finding, served, who
from lameduck.defects.snippets import keep_alive
from lameduck.manifests.limits import limit
from lameduck.manifests.project import PATHS, Project

DEFECT = Defect(
    "LD605",
    "keepalive-shorter-than-lb",
    "The server closes idle connections before its caller does",
    "The caller reuses a connection in the moment the server closes it: the request is reset without any rollout.",
    Severity.WARNING,
)


def proof_fix(facts: Mapping[str, Any]) -> Fix | None:
    """The keep-alive of the server above its caller's; facts: ``server`` (str), ``caller_idle_seconds`` (int, s)."""
    return keep_alive(facts)


def lint(project: Project) -> Iterator[Finding]:
    """Known servers that close idle connections before the configured caller does."""
    idle = PATHS[project.settings.path].idle
    if idle is None:
        return
    for one in served(project):
        program = project.program_of(one.container)
        server = program.chain.server if program else None
        if program is None or server is None or server.keep_alive is None or program.chain.server_at is None:
            continue
        argv = program.chain.server_argv
        given = limit(program.chain, server.keep_alive_flags, project.read)
        seconds = server.keep_alive if given.seconds is None else given.seconds
        if (
            given.unseen
            or seconds >= idle
            or (server.name == "gunicorn" and not {"-k", "--worker-class", "--threads"} & set(argv))
        ):
            continue
        text, start, end = program.chain.server_at
        sure = Confidence.LIKELY if server.keep_alive_flags else Confidence.POSSIBLE
        message = (
            f"{who(one.workload, one.container)}: {server.name} closes idle connections after {seconds:g} s, "
            f"{project.settings.path} keeps them for {idle:g} s and may reuse one in that moment"
        )
        snippet = keep_alive({"server": server.name, "caller_idle_seconds": idle})
        fix = advice(snippet.title, snippet.patches[0].snippet) if snippet else None
        yield finding(DEFECT, message, text.span(start, end), sure, fix=fix)
