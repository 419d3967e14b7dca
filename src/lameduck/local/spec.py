"""What the user asked of the local cluster, and how long its control plane takes.

Law: everything that Kubernetes' API would refuse is refused here, before anything runs.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from lameduck.core.errors import UsageError
from lameduck.core.instants import MILLISECOND, SECOND, human
from lameduck.core.path import Via
from lameduck.core.pod import Delays, Hook, HookKind, PodSpec
from lameduck.core.probes import ProbeSpec
from lameduck.core.rolling import Strategy, fenceposts
from lameduck.local import relay

DEFAULT_PORT = 8080
"""What `$PORT` says in a pod with a network of its own, where the user named no port."""

Range = tuple[int, int, int]
"""At least, mostly, at most, in **milliseconds**: the three numbers of a triangular distribution."""


@dataclass(frozen=True, slots=True)
class Timings:
    """How long the control plane takes (ms): measured on Kubernetes 1.34, drawn anew for every pod, by the seed."""

    start: Range = (480, 520, 570)
    """Pod created → first process (image present)."""
    probe_phase: Range | None = None
    """First process → first probe; None: anywhere in the probe's period."""
    status: Range = (1000, 1000, 1010)
    ready_to_slice: Range = (3, 9, 15)
    deletion_to_slice: Range = (5, 15, 40)
    deletion_to_stop: Range = (1, 9, 50)
    exec_overhead: Range = (15, 30, 50)
    exit_to_silence: Range = (60, 80, 110)
    exit_to_slice: Range = (104, 150, 195)
    exit_to_gone: Range = (880, 960, 1040)
    controller: Range = (15, 25, 40)
    """What a controller saw → what it does about it."""

    def draw(self, rng: random.Random, probe: ProbeSpec) -> Delays:
        """One pod's delays."""
        phase = rng.randrange(probe.period) if self.probe_phase is None else pick(rng, self.probe_phase)
        return Delays(
            start=pick(rng, self.start),
            probe_phase=phase,
            status=pick(rng, self.status),
            ready_to_slice=pick(rng, self.ready_to_slice),
            deletion_to_slice=pick(rng, self.deletion_to_slice),
            deletion_to_stop=pick(rng, self.deletion_to_stop),
            exec_overhead=pick(rng, self.exec_overhead),
            exit_to_silence=pick(rng, self.exit_to_silence),
            exit_to_slice=pick(rng, self.exit_to_slice),
            exit_to_gone=pick(rng, self.exit_to_gone),
        )


def pick(rng: random.Random, among: Range) -> int:
    """A duration (ns) from a range."""
    low, usual, high = among
    return round(rng.triangular(low, high, usual) * MILLISECOND)


@dataclass(frozen=True, slots=True)
class LocalSpec:
    """A bare command as a Deployment of `replicas` pods; durations in nanoseconds unless the name says otherwise."""

    command: tuple[str, ...]
    replicas: int = 3
    port: int | None = None
    """The container's port; None: the one that somebody listens on."""
    ready_path: str | None = None
    """Path of an httpGet readiness probe; None: a tcpSocket one."""
    grace: int = 30 * SECOND
    pre_stop_sleep: int | None = None
    """Whole seconds."""
    pre_stop_exec: tuple[str, ...] | None = None
    pre_stop_http: tuple[str, int] | None = None
    """Path and port (0: the container's own)."""
    max_surge: int | str = "25%"
    max_unavailable: int | str = "25%"
    min_ready_seconds: int = 0
    env: Mapping[str, str] = field(default_factory=dict)
    reach: tuple[tuple[str, int], ...] = ()
    """What the pods may connect to outside of their own network."""
    network: Literal["sandbox", "host"] = "sandbox"
    progress_deadline: int = 120 * SECOND
    start_deadline: int = 60 * SECOND
    """How long all replicas together may take to become ready at first."""
    min_sync: int = 1 * SECOND
    """kube-proxy's ``minSyncPeriod``."""
    via: Via = field(default_factory=Via)
    """The way of the traffic: through kube-proxy, an ingress or a slow load balancer."""
    run_dir: Path = Path("runs")
    """Where each pod's output goes."""
    seed: int = 1
    nice: int = 5
    """How much lower the pods' priority is than that of the load engine on the same cores; 0 for none."""
    timings: Timings = field(default_factory=Timings)

    def pod(self) -> PodSpec:
        """The pod template."""
        return PodSpec(ProbeSpec(self.ready_path or ""), self.grace, self.hook())

    def hook(self) -> Hook | None:
        """The preStop hook, None without one."""
        if self.pre_stop_sleep is not None:
            return Hook(HookKind.SLEEP, seconds=self.pre_stop_sleep)
        if self.pre_stop_exec is not None:
            return Hook(HookKind.EXEC, command=self.pre_stop_exec)
        if self.pre_stop_http is not None:
            path, port = self.pre_stop_http
            return Hook(HookKind.HTTP, path=path, port=port)
        return None

    def strategy(self) -> Strategy:
        """The Deployment's strategy."""
        return Strategy(self.max_surge, self.max_unavailable, self.min_ready_seconds * SECOND, self.progress_deadline)

    def check(self) -> None:
        """Raises `UsageError` for what could never work, or what the API server would refuse."""
        if not self.command:
            raise UsageError(
                "no command to run: give it after --, as in 'lameduck prove --local -- python -m myservice'"
            )
        if self.replicas < 1:
            raise UsageError(f"{self.replicas} replicas leave nothing to prove: ask for at least 1")
        hooks = (self.pre_stop_sleep, self.pre_stop_exec, self.pre_stop_http)
        if sum(hook is not None for hook in hooks) > 1:
            raise UsageError("a container has one preStop hook: choose between sleep, exec and http")
        if self.pre_stop_sleep is not None and not 0 <= self.pre_stop_sleep * SECOND <= self.grace:
            raise UsageError(
                f"preStop sleep {self.pre_stop_sleep} s does not fit into a grace period of {human(self.grace)}: "
                "the API server refuses it; raise the grace period or shorten the sleep"
            )
        if self.pre_stop_exec is not None and not self.pre_stop_exec:
            raise UsageError("the preStop exec hook has no command")
        if self.ready_path is not None and not self.ready_path.startswith("/"):
            raise UsageError(f"the readiness path {self.ready_path!r} must begin with /")
        if not 0 <= self.min_sync <= 3600 * SECOND:
            raise UsageError(f"kube-proxy's minSyncPeriod is 0 to 3600 s, not {human(self.min_sync)}")
        try:
            fenceposts(self.replicas, self.max_surge, self.max_unavailable)
        except ValueError as error:
            raise UsageError(f"max-surge or max-unavailable: {error}") from None
        try:
            relay.plan(self.reach)
        except ValueError as error:
            raise UsageError(f"reach: {error}") from None
        self._find_command()

    def _find_command(self) -> None:
        name = self.command[0]
        if shutil.which(name, path=self.env.get("PATH")) is not None:
            return
        if "/" in name and Path(name).is_file():
            raise UsageError(f"{name} is not executable: chmod +x it, or name its interpreter first")
        where = "" if "/" in name else " on the PATH"
        raise UsageError(f"no such command{where}: {name}; give one that starts your server in the foreground")
