"""Spring Boot shuts down immediately (LD806, spring-immediate).

What it finds
    server.shutdown=immediate in the environment or arguments.

Why it loses requests
    Requests in flight are cut.

Fix and its safety
    Unsafe: graceful.

When not to care
    Graceful is the default since 3.4.

Example
    Dockerfile:
        FROM eclipse-temurin:21-jre
        ENV SERVER_SHUTDOWN=immediate
        CMD ["java", "-jar", "/app.jar"]
"""

from __future__ import annotations

from collections.abc import Iterator

from lameduck.core.finding import Confidence, Defect, Finding, Severity
from lameduck.defects.lintkit import finding, starting
from lameduck.manifests.project import Project

DEFECT = Defect(
    "LD806",
    "spring-immediate",
    "Spring Boot shuts down immediately",
    "Requests in flight are cut.",
    Severity.WARNING,
)


def lint(project: Project) -> Iterator[Finding]:
    """Spring Boot applications that are told to shut down immediately."""
    for program in starting(project):
        environment, at = program.launch.environment, program.chain.server_at
        words = " ".join(program.chain.server_argv)
        given = environment.get("SERVER_SHUTDOWN", "").lower() == "immediate" or "server.shutdown=immediate" in words
        if not given or at is None:
            continue
        text, start, end = at
        message = "server.shutdown=immediate: Spring Boot cuts requests in flight on the stop signal"
        yield finding(DEFECT, message, text.span(start, end), Confidence.LIKELY)
