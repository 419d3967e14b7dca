"""A development launcher is PID 1 (LD507, launcher-as-pid1).

What it finds
    npm, npx, yarn, pnpm, go run, nodemon, pm2-runtime, reload modes.

Why it loses requests
    It does not pass the stop signal on, or kills the server during its drain.

Fix and its safety
    Unsafe: the program itself in exec form.

When not to care
    npm drains where its script shell is bash or ash (Alpine).

Evidence
    Measured with npm 11, yarn 1.22, pnpm 12, pm2 7.
"""

from __future__ import annotations

from lameduck.core.finding import Defect, Severity

DEFECT = Defect(
    "LD507",
    "launcher-as-pid1",
    "A development launcher is PID 1",
    "It does not pass the stop signal on, or kills the server during its drain.",
    Severity.ERROR,
)
