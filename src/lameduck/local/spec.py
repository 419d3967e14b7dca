"""What the user asked of the local cluster, and how long its control plane takes.

Law: everything that Kubernetes' API would refuse is refused here, before anything runs.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from lameduck.core.budget import Budget
from lameduck.core.errors import UsageError
from lameduck.core.instants import MILLISECOND, SECOND, human
from lameduck.core.path import Via
from lameduck.core.plan import Disruption
from lameduck.core.podspec import ContainerSpec, Delays, Hook, HookKind, PodSpec
from lameduck.core.probes import ProbeSpec
from lameduck.core.rolling import Strategy, fenceposts
from lameduck.local import relay
from lameduck.local.podplan import Process
from lameduck.manifests.signals import signal_name

DEFAULT_PORT = 8080
"""What `$PORT` says in a pod with a network of its own, where the user named no port."""

Range = tuple[int, int, int]
"""At least, mostly, at most, in **milliseconds**: the three numbers of a triangular distribution."""


@dataclass(frozen=True, slots=True)
class Timings:
    """How long the control plane takes (ms): measured on Kubernetes 1.34, drawn anew for every pod, by the seed."""

    start: Range = (480, 520, 570)
    """Pod created → first process (image present)."""
    probe_phase: Range = (3, 12, 40)
    """The relist that notices a container → its first probe."""
    relist: bool = True
    """Containers are noticed at the kubelet's next relist, not at once."""
    status: Range = (8, 18, 35)
    """The relist that notices a container → its address in the slice: 0 to 25 ms, median 8, before its readiness is."""
    ready_to_slice: Range = (3, 9, 15)
    deletion_to_slice: Range = (5, 15, 40)
    deletion_to_stop: Range = (1, 9, 50)
    exec_overhead: Range = (15, 30, 50)
    exit_to_silence: Range = (60, 80, 110)
    exit_to_slice: Range = (104, 150, 195)
    exit_to_ended: Range = (180, 200, 230)
    ended_to_gone: Range = (20, 30, 45)
    """The relist after that → the object is gone: 240 to 1,250 after the exit, in a chain of pods mostly 960."""
    controller: Range = (20, 30, 40)
    """What a controller saw → what it does about it: as measured with the truth table (10 to 29, median 16, when
    the machine was less busy). Ten milliseconds decide whether a rollout's third removal makes kube-proxy's sync."""
    next_container: Range = (60, 80, 110)
    """The relist that notices that an init container ended, or a sidecar runs → what stands after it starts."""
    turn: Range = (40, 55, 80)
    """The last main container ended → the sidecars' stop signal."""

    def draw(self, rng: random.Random, relist: int, second: int) -> Delays:
        """One pod's delays; `relist` is an instant at which its node's kubelet relists, `second` one of its clock."""
        return Delays(
            start=pick(rng, self.start),
            probe_phase=pick(rng, self.probe_phase),
            relist=relist if self.relist else None,
            second=second if self.relist else None,
            status=pick(rng, self.status),
            ready_to_slice=pick(rng, self.ready_to_slice),
            deletion_to_slice=pick(rng, self.deletion_to_slice),
            deletion_to_stop=pick(rng, self.deletion_to_stop),
            exec_overhead=pick(rng, self.exec_overhead),
            exit_to_silence=pick(rng, self.exit_to_silence),
            exit_to_slice=pick(rng, self.exit_to_slice),
            exit_to_ended=pick(rng, self.exit_to_ended),
            ended_to_gone=pick(rng, self.ended_to_gone),
            next_container=pick(rng, self.next_container),
            turn=pick(rng, self.turn),
        )


def pick(rng: random.Random, among: Range) -> int:
    """A duration (ns) from a range."""
    low, usual, high = among
    return round(rng.triangular(low, high, usual) * MILLISECOND)


@dataclass(frozen=True, slots=True)
class LocalSpec:
    """A workload of `replicas` pods; durations in nanoseconds unless the name says otherwise.

    A bare command is one container of the flat fields. With `containers` (a manifest's) the flat fields that are set
    stand over what the serving one of them says.
    """

    command: tuple[str, ...] = ()
    replicas: int = 3
    port: int | None = None
    """The container's port; None: the one that somebody listens on."""
    ready_path: str | None = None
    """Path of an httpGet readiness probe; None: a tcpSocket one, or what the manifest says."""
    grace: int = 30 * SECOND
    pre_stop_sleep: int | None = None
    """Whole seconds."""
    pre_stop_exec: tuple[str, ...] | None = None
    pre_stop_http: tuple[str, int] | None = None
    """Path and port (0: the container's own)."""
    stop_signal: int | None = None
    """What the serving container gets to stop; None: SIGTERM, or what its image says."""
    max_surge: int | str = "25%"
    max_unavailable: int | str = "25%"
    min_ready_seconds: int = 0
    env: Mapping[str, str] = field(default_factory=dict)
    reach: tuple[tuple[str, int], ...] = ()
    """What the pods may connect to outside of their own network."""
    network: Literal["sandbox", "host"] = "sandbox"
    service_port: int = 0
    """The Service's port on 127.0.0.1, for loads that are not ours; 0: any free one."""
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
    let_age: bool = True
    """No disruption begins while a pod is so young that its end would wait for a relist (`core.podworker`): who rolls
    out, scales or deletes has old pods, and a stop signal that comes late looks like a preStop."""
    disruption: Disruption = Disruption.ROLLOUT
    disrupt_command: tuple[str, ...] = ()
    """What `Disruption.RELOAD` runs in every serving container."""
    notice: int | None = None
    """The grace period that `Disruption.DELETE` gives, as a node that goes away leaves no more; None: the pod's own."""
    deadline: int | None = None
    """How long one disruption may take; None: the progress deadline."""
    name: str = "app"
    kind: Literal["Deployment", "StatefulSet", "DaemonSet"] = "Deployment"
    recreate: bool = False
    """Every old pod goes before a new one comes (``strategy.type: Recreate``)."""
    partition: int = 0
    """A StatefulSet's pods below this ordinal stay as they are."""
    parallel: bool = False
    """A StatefulSet's ``podManagementPolicy``; it orders scaling, not updates."""
    containers: tuple[ContainerSpec, ...] = ()
    processes: Mapping[str, Process] = field(default_factory=dict)
    """What runs in them, by name."""
    serving: str = ""
    """The container that the Service's port names."""
    share_processes: bool = False
    """``shareProcessNamespace``."""
    publish_not_ready: bool = False
    headless: bool = False
    """Clients resolve the Service's name to the pods themselves."""
    resolve: Literal["once", "always"] = "always"
    """When such a client asks the DNS."""
    budget: Budget | None = None
    """The PodDisruptionBudget, which an eviction asks."""
    labels: Mapping[str, str] = field(default_factory=dict)
    namespace: str = "default"
    ignored: tuple[str, ...] = ()
    """What the manifest says and nobody here follows, in words."""

    def pod(self) -> PodSpec:
        """The pod template."""
        if not self.containers:
            only = self._over(ContainerSpec(readiness=ProbeSpec()))
            return PodSpec((only,), self.grace, publish_not_ready=self.publish_not_ready)
        containers = tuple(self._over(one) if one.name == self.serving else one for one in self.containers)
        return PodSpec(containers, self.grace, self.serving, self.publish_not_ready)

    def _over(self, server: ContainerSpec) -> ContainerSpec:
        """The serving container with what was asked for beside the manifest."""
        if self.ready_path is not None:
            server = replace(server, readiness=ProbeSpec(self.ready_path))
        if self.stop_signal is not None:
            server = replace(server, stop_signal=self.stop_signal)
        return replace(server, pre_stop=self.hook() or server.pre_stop)

    def process(self, container: str) -> Process:
        """What runs in a container."""
        known = self.processes.get(container, Process(()))
        return replace(known, command=self.command) if container == self.serving and self.command else known

    def hook(self) -> Hook | None:
        """The preStop hook of the flat fields, None without one."""
        if self.pre_stop_sleep is not None:
            return Hook(HookKind.SLEEP, seconds=self.pre_stop_sleep)
        if self.pre_stop_exec is not None:
            return Hook(HookKind.EXEC, command=self.pre_stop_exec)
        if self.pre_stop_http is not None:
            path, port = self.pre_stop_http
            return Hook(HookKind.HTTP, path=path, port=port)
        return None

    def strategy(self) -> Strategy:
        """The workload's strategy."""
        seconds, deadline = self.min_ready_seconds * SECOND, self.deadline or self.progress_deadline
        one_per_node = self.kind == "DaemonSet"
        return Strategy(self.max_surge, self.max_unavailable, seconds, deadline, self.recreate, one_per_node)

    def check(self) -> None:
        """Raises `UsageError` for what could never work, or what the API server would refuse."""
        if not self.process(self.serving).command:
            raise UsageError(
                "no command to run: give it after --, as in 'lameduck prove --local -- python -m myservice'"
            )
        if self.replicas < 1:
            raise UsageError(f"{self.replicas} replicas leave nothing to prove: ask for at least 1")
        hooks = (self.pre_stop_sleep, self.pre_stop_exec, self.pre_stop_http)
        if sum(hook is not None for hook in hooks) > 1:
            raise UsageError("a container has one preStop hook: choose between sleep, exec and http")
        for one in self.pod().containers:
            self._check_hook(one.pre_stop)
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
        for one in self.pod().containers:
            self._find_command(one.name)

    def _check_hook(self, hook: Hook | None) -> None:
        if hook is None:
            return
        if hook.kind is HookKind.SLEEP and not 0 <= hook.seconds * SECOND <= self.grace:
            raise UsageError(
                f"preStop sleep {hook.seconds} s does not fit into a grace period of {human(self.grace)}: "
                "the API server refuses it; raise the grace period or shorten the sleep"
            )
        if hook.kind is HookKind.EXEC and not hook.command:
            raise UsageError("the preStop exec hook has no command")

    def _find_command(self, container: str) -> None:
        process = self.process(container)
        name = process.command[0]
        folder = Path(process.folder or ".")
        mounted = any(name == each.target or name.startswith(f"{each.target}/") for each in process.mounts)
        variables = dict(process.environment) | dict(self.env)
        if mounted or shutil.which(name, path=str(variables.get("PATH") or "") or None) is not None:
            return
        whose = f"container {container}: " if container else ""
        if "/" in name and os.access(folder / name, os.F_OK) and (folder / name).is_file():
            if os.access(folder / name, os.X_OK):
                return
            raise UsageError(f"{whose}{name} is not executable: chmod +x it, or name its interpreter first")
        where = "" if "/" in name else " on the PATH"
        raise UsageError(f"{whose}no such command{where}: {name}; give one that starts your server in the foreground")


_INTERPRETERS = re.compile(r"(python|pypy|perl|ruby|node|java|php)[\d.]*|(ba|da|z|k|a)?sh|env|uv|exec|tini|dumb-init")
_NAMES_ITS_PROGRAM = frozenset({"-m", "-jar"})


def spoken(command: Sequence[str]) -> str:
    """What people would call a command: the module or script behind its interpreters, else the program's name."""
    first = Path(command[0]).name
    words = iter(command)
    for word in words:
        name = Path(word).name
        if word in _NAMES_ITS_PROGRAM:
            return next(words, first)
        if word == "-c":
            return first
        if not word.startswith("-") and "=" not in word and not _INTERPRETERS.fullmatch(name):
            return Path(name).stem or first
    return first


def signal_number(word: str) -> int:
    """15 for ``SIGTERM``, ``term``, ``15`` and ``TERM``, 37 for ``SIGRTMIN+3``. `ValueError` for what is none here."""
    name, offset = signal_name(word), 0
    if real_time := re.fullmatch(r"(RTMIN)(\+\d+)|(RTMAX)(-\d+)", name):
        name, offset = real_time[1] or real_time[3], int(real_time[2] or real_time[4])
    try:
        number = int(word) if word.strip().isdigit() else signal.Signals[f"SIG{name}"].value + offset
    except KeyError:
        number = 0
    if number not in signal.valid_signals():
        raise ValueError(f"a signal such as SIGQUIT, not '{word}'")
    return number
