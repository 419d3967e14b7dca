"""Predicting a rollout: the workload of a `LocalSpec` in virtual time, many times over, at many phases.

Law: what is drawn is what the local cluster draws (`spec.Timings`, the phases of relists and syncs); all else is
`core.simulation`. The same seed gives the same prediction.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil
from typing import Any

from lameduck.core import path
from lameduck.core.errors import UsageError
from lameduck.core.instants import SECOND, human, to_ms
from lameduck.core.path import Via
from lameduck.core.simulation import App, Rollout, Simulation
from lameduck.local.cluster import workload_of
from lameduck.local.spec import LocalSpec, pick

MOST_TRIES, FEW = 4, 5
"""So many preStops are tried, over so many rollouts each, where a rollout met no endpoint at all."""
IN_A_ROW = 5
"""Rollouts in one simulated cluster."""


@dataclass(frozen=True, slots=True)
class WayPrediction:
    """What is predicted for one way of traffic; durations in nanoseconds."""

    via: Via
    lag: tuple[int, int]
    """In the middle, and at worst."""
    window: tuple[int, int]
    """The shortest and the longest exposed window."""
    unheard: tuple[int, int]
    """How long a pod was sent connections though nobody accepted there: at least, at most."""
    missed: tuple[float, float]
    """Nanoseconds of traffic that found nobody, per rollout: on average, at worst."""
    minimal_pre_stop: int | None
    """The smallest whole seconds of a preStop with which nothing was missed; None where none helps."""
    suggested_pre_stop: int
    """By the rule of docs/verdict.md: the worst lag and a second, rounded up, never below the way's floor."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a rollout is predicted to be like; durations in nanoseconds."""

    spec: LocalSpec
    app: App
    rollouts: int
    completed: int
    terminations: int
    length: tuple[int, int]
    """The shortest and the longest rollout."""
    stop_signal: tuple[int, int] | None
    """From a deletion to the stop signal: the earliest and the latest."""
    killed: int
    """Pods that did not end by themselves within the grace period."""
    ways: tuple[WayPrediction, ...]

    def as_dict(self, rate: float) -> dict[str, Any]:
        """The documented, versioned JSON form (docs/prediction-schema.json); `rate` in requests per second."""
        return {
            "schema": "lameduck.prediction/1",
            "prediction": True,
            "rollouts": self.rollouts,
            "completed": self.completed,
            "terminations": self.terminations,
            "rate": rate,
            "rollout_ms": _span(self.length),
            "stop_signal_after_deletion_ms": None if self.stop_signal is None else _span(self.stop_signal),
            "killed": self.killed,
            "assumed": {
                "starts_ms": to_ms(self.app.starts),
                "stops_ms": to_ms(self.app.stops),
                "heeds_the_stop_signal": self.app.heeds,
            },
            "ways": [
                {
                    "via": str(way.via),
                    "lag_ms": {"p50": to_ms(way.lag[0]), "max": to_ms(way.lag[1])},
                    "exposed_window_ms": _span(way.window),
                    "unheard_ms": _span(way.unheard),
                    "lost_new_connections_per_rollout": {
                        "mean": round(way.missed[0] / SECOND * rate, 1),
                        "max": round(way.missed[1] / SECOND * rate, 1),
                    },
                    "minimal_pre_stop_seconds": way.minimal_pre_stop,
                    "suggested_pre_stop_seconds": way.suggested_pre_stop,
                    "arithmetic": arithmetic(self.spec, way),
                }
                for way in self.ways
            ],
        }


def arithmetic(spec: LocalSpec, way: WayPrediction) -> str:
    """How a suggested preStop comes about, and what it leaves of the grace period."""
    seconds = way.suggested_pre_stop
    left = spec.grace // SECOND - seconds
    if left >= 2:
        fits = f"a grace period of {spec.grace // SECOND} s leaves {left} s for the drain"
    else:
        fits = f"the grace period of {spec.grace // SECOND} s is too small for it: {seconds + 10} s would leave 10 s"
    return f"lag {human(way.lag[1])} + 1 s, rounded up, and never below {way.via.floor} s; {fits}"


def predict(spec: LocalSpec, app: App, ways: Sequence[Via], *, rollouts: int = 20) -> Prediction:
    """What a rollout of this workload is predicted to be like, over `rollouts` of them at different phases.

    Raises `UsageError` for a workload that never gets ready.
    """
    played = _play(spec, app, ways, rollouts)
    endings = [ending for rollout in played for ending in rollout.endings]
    signals = [ending.stop_signal - ending.deletion for ending in endings if ending.stop_signal is not None]
    return Prediction(
        spec=spec,
        app=app,
        rollouts=rollouts,
        completed=sum(rollout.completed for rollout in played),
        terminations=len(endings),
        length=_ends(rollout.length for rollout in played),
        stop_signal=_ends(signals) if signals else None,
        killed=sum(ending.pod.exit_code == 137 for ending in endings),
        ways=tuple(_way(spec, app, via, played) for via in ways),
    )


def _way(spec: LocalSpec, app: App, via: Via, played: Sequence[Rollout]) -> WayPrediction:
    name = str(via)
    endings = [ending for rollout in played for ending in rollout.endings]
    lags = sorted(ending.lag(name) for ending in endings)
    missed = [rollout.missed(name) for rollout in played]
    return WayPrediction(
        via=via,
        lag=(lags[len(lags) // 2], lags[-1]) if lags else (0, 0),
        window=_ends(ending.window(name) for ending in endings),
        unheard=_ends(ending.unheard(name) for ending in endings),
        missed=(sum(missed) / len(missed), max(missed)),
        minimal_pre_stop=_minimal(spec, app, via, played),
        suggested_pre_stop=max(ceil(((lags[-1] if lags else 0) + SECOND) / SECOND), via.floor),
    )


def _minimal(spec: LocalSpec, app: App, via: Via, played: Sequence[Rollout]) -> int | None:
    """The smallest whole seconds that hold every stop signal back until the way has let go of the pod.

    What a deletion sets in motion does not wait for the hook, so that its seconds add to the deaf instants. Only where
    pods were missed for another reason (no endpoint at all) is it played again: a longer life may give one.
    """
    name = str(via)
    hook = spec.hook()
    delay = 0 if hook is None else hook.seconds * SECOND or app.hook
    waits = [e.routed_until[name] - (e.deaf - delay) for r in played for e in r.endings]
    seconds = max(0, ceil(max(waits, default=0) / SECOND))
    if not any(rollout.nobody[name] for rollout in played):
        return seconds
    for tried in range(max(1, seconds), seconds + MOST_TRIES):
        longer = replace(spec, pre_stop_sleep=tried, pre_stop_exec=None, grace=max(spec.grace, (tried + 10) * SECOND))
        if not any(rollout.missed(name) for rollout in _play(longer, app, [via], FEW)):
            return tried
    return None


def _play(spec: LocalSpec, app: App, ways: Sequence[Via], rollouts: int) -> list[Rollout]:
    """Rollouts at many phases: a few after each other in a cluster, and every cluster with phases of its own."""
    played: list[Rollout] = []
    for number in range(-(-rollouts // IN_A_ROW)):
        rng = random.Random(spec.seed * 1_000_003 + number)
        simulation = _simulation(spec, app, ways, rng)
        if not simulation.start():
            raise UsageError("the pods would never be ready: with these times the rollout gets no further")
        for _ in range(min(IN_A_ROW, rollouts - len(played))):
            simulation.rest(rng.randrange(2 * SECOND, 4 * SECOND))
            played.append(simulation.roll())
    return played


def _simulation(spec: LocalSpec, app: App, ways: Sequence[Via], rng: random.Random) -> Simulation:
    relist, second = rng.randrange(SECOND), rng.randrange(SECOND)
    return Simulation(
        workload=workload_of(spec),
        template=spec.pod(),
        tables={
            str(via): path.table(via, spec.min_sync, rng.randrange(max(1, path.pace(via, spec.min_sync))))
            for via in ways
        },
        app=app,
        delays=lambda: spec.timings.draw(rng, relist, second),
        controller=lambda: pick(rng, spec.timings.controller),
    )


def _ends(values: Iterable[int]) -> tuple[int, int]:
    kept = list(values)
    return (min(kept), max(kept)) if kept else (0, 0)


def _span(ends: tuple[int, int]) -> Mapping[str, float]:
    return {"min": to_ms(ends[0]), "max": to_ms(ends[1])}
