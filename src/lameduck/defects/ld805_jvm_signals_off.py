"""The JVM does not listen to signals (LD805, jvm-signals-off).

What it finds
    java -Xrs, also in JAVA_OPTS.

Why it loses requests
    -Xrs switches off its handlers: shutdown hooks never run.

Fix and its safety
    Safe: remove the flag.
"""

from __future__ import annotations

from lameduck.core.finding import Defect, Severity

DEFECT = Defect(
    "LD805",
    "jvm-signals-off",
    "The JVM does not listen to signals",
    "-Xrs switches off its handlers: shutdown hooks never run.",
    Severity.ERROR,
)
