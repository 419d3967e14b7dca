"""Spring Boot shuts down immediately (LD806, spring-immediate).

What it finds
    server.shutdown=immediate in the environment or arguments.

Why it loses requests
    Requests in flight are cut.

Fix and its safety
    Unsafe: graceful.

When not to care
    Graceful is the default since 3.4.
"""

from __future__ import annotations

from lameduck.core.finding import Defect, Severity

DEFECT = Defect(
    "LD806",
    "spring-immediate",
    "Spring Boot shuts down immediately",
    "Requests in flight are cut.",
    Severity.WARNING,
)
