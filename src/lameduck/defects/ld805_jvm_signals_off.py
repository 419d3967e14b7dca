"""The JVM does not listen to signals (LD805, jvm-signals-off).

What it finds
    java -Xrs, also in JAVA_OPTS.

Why it loses requests
    -Xrs switches off its handlers: shutdown hooks never run.

Fix and its safety
    Safe: remove the flag.

Example
    Dockerfile:
        FROM eclipse-temurin:21-jre
        CMD ["java", "-Xrs", "-jar", "/app.jar"]
"""

from __future__ import annotations

from collections.abc import Iterator

from lameduck.core.finding import Confidence, Defect, Finding, Severity
from lameduck.defects.lintkit import finding, starting
from lameduck.manifests.project import Project

DEFECT = Defect(
    "LD805",
    "jvm-signals-off",
    "The JVM does not listen to signals",
    "-Xrs switches off its handlers: shutdown hooks never run.",
    Severity.ERROR,
)


_OPTIONS = ("JAVA_OPTS", "JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS", "CATALINA_OPTS")


def lint(project: Project) -> Iterator[Finding]:
    """JVMs that are told to leave signals alone."""
    for program in starting(project):
        words = " ".join([*program.chain.server_argv, *(program.launch.environment.get(name, "") for name in _OPTIONS)])
        if "-Xrs" not in words.split() or program.chain.server_at is None:
            continue
        text, start, end = program.chain.server_at
        message = "-Xrs: the JVM does not listen to the stop signal, its shutdown hooks never run"
        yield finding(DEFECT, message, text.span(start, end), Confidence.CERTAIN)
