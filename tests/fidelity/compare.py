"""When a row of the local cluster agrees with the row that was measured on a real one.

The rules: a kind of failure that the real cluster met at least 20 times per rollout comes within a factor of three; one
that it met less often within 15 per rollout; one that it never met, never. `UNDECIDED` rows assert no number: what they
show is rare. Medians of the timeline agree within 50 ms or 20 %.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lameduck.core.exchange import Exchange, Kind, Stage

ROWS = Path(__file__).parent.parent / "data" / "truth" / "rows.json"
FACTOR, LITTLE, FEW = 3.0, 20.0, 15.0
MILLISECONDS, SHARE = 50.0, 0.2
UNDECIDED = frozenset({"a/new", "e1/new", "kd2/new", "db/keep", "jb/keep"})
NODES_OWN = frozenset({"unreachable"})
"""A dead pod's address is silent here as long as it is kept; whether a real node says "unreachable" after 3 s instead
depends on its neighbour table, which the local cluster has none of. The two are counted as one: swallowed."""


@dataclass(frozen=True)
class Measured:
    """One row: failures by kind for each rollout, and what the pods did."""

    requests: int
    terminations: int
    per_rollout: Sequence[Mapping[str, int]]
    before: Mapping[str, int]
    exit_codes: Mapping[str, int]
    rollout_s: float
    median_ms: Mapping[str, float | None]
    punctual: bool = True
    """Whether the load was whole and on time, without which the row says nothing."""

    @property
    def kinds(self) -> dict[str, float]:
        """Failures by kind, per rollout."""
        total = sum((Counter(each) for each in self.per_rollout), Counter[str]())
        return {kind: count / len(self.per_rollout) for kind, count in total.most_common()}


def truth() -> dict[str, Measured]:
    """Every row that was measured."""
    rows: dict[str, Any] = json.loads(ROWS.read_text("utf-8"))["rows"]
    return {name: Measured(**row) for name, row in rows.items()}


def kind_of(exchange: Exchange) -> str:
    """A failure as the truth table names it."""
    failure = exchange.failure
    assert failure is not None
    match failure.kind, failure.stage:
        case Kind.TIMEOUT, Stage.CONNECT:
            return "timeout at connect"
        case Kind.TIMEOUT, _:
            return "timeout at await"
        case Kind.RESET, Stage.CONNECT:
            return "reset at connect"
        case Kind.BAD_STATUS, _:
            return f"status {exchange.status}"
        case kind, _:
            return kind.value


def differences(row: str, real: Measured, local: Measured, factor: float = FACTOR) -> Iterator[str]:
    """In words, everything in which a local row disagrees with the real one."""
    if not local.punctual:
        yield "the load was late or thin: measured nothing"
    if row not in UNDECIDED:
        yield from _counts(_swallowed(real.kinds), _swallowed(local.kinds), factor)
    for code in sorted({*real.exit_codes, *local.exit_codes}):
        if (code in real.exit_codes) != (code in local.exit_codes):
            yield f"exit code {code}: {local.exit_codes.get(code, 0)} pods, really {real.exit_codes.get(code, 0)}"
    yield from _medians(real.median_ms, local.median_ms)


def _swallowed(kinds: Mapping[str, float]) -> Counter[str]:
    merged: Counter[str] = Counter()
    for kind, count in kinds.items():
        merged["timeout at connect" if kind in NODES_OWN else kind] += count  # type: ignore[assignment]
    return merged


def _counts(real: Mapping[str, float], local: Mapping[str, float], factor: float) -> Iterator[str]:
    for kind in sorted({*real, *local}):
        there, here = real.get(kind, 0.0), local.get(kind, 0.0)
        if not there:
            agrees = not here
        elif there >= LITTLE:
            agrees = there / factor <= here <= there * factor
        else:
            agrees = abs(here - there) <= FEW
        if not agrees:
            yield f"{kind}: {here:.0f} per rollout, really {there:.0f}"


def _medians(real: Mapping[str, float | None], local: Mapping[str, float | None]) -> Iterator[str]:
    for name, here in local.items():
        there = real.get(name)
        if there is not None and here is not None and abs(here - there) > max(MILLISECONDS, SHARE * abs(there)):
            yield f"{name}: {here:.0f} ms, really {there:.0f}"
