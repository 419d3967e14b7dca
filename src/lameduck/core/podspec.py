"""What a pod is to be: its containers with their probes and hooks, and how long its control plane takes.

Law: everything here is data as the manifest says it, durations in nanoseconds; the decisions are `core.container` and
`core.pod`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from lameduck.core.instants import MILLISECOND, SECOND
from lameduck.core.podworker import until_relist
from lameduck.core.probes import ProbeSpec


class HookKind(StrEnum):
    """What a lifecycle hook does."""

    EXEC = "exec"
    HTTP = "httpGet"
    SLEEP = "sleep"


@dataclass(frozen=True, slots=True)
class Hook:
    """A lifecycle hook: `seconds` for sleep, `command` for exec, `path` and `port` for httpGet."""

    kind: HookKind
    seconds: int = 0
    command: tuple[str, ...] = ()
    path: str = ""
    port: int = 0
    scheme: str = ""
    """``https``, or "" for plain HTTP."""

    def __str__(self) -> str:
        match self.kind:
            case HookKind.EXEC:
                return f"exec {' '.join(self.command)}"
            case HookKind.HTTP:
                return f"httpGet :{self.port}{self.path}"
            case HookKind.SLEEP:
                return f"sleep {self.seconds} s"


class Role(StrEnum):
    """What a container is to its pod."""

    MAIN = "main"
    INIT = "init"
    """Runs to its end before what stands after it."""
    SIDECAR = "sidecar"
    """An init container that is always restarted: started in order, and stopped after the main ones (KEP-753)."""


@dataclass(frozen=True, slots=True)
class ContainerSpec:
    """One container. Without a readiness probe it is ready once it runs."""

    name: str = ""
    role: Role = Role.MAIN
    readiness: ProbeSpec | None = None
    liveness: ProbeSpec | None = None
    startup: ProbeSpec | None = None
    post_start: Hook | None = None
    pre_stop: Hook | None = None
    stop_signal: int = 15


@dataclass(frozen=True, slots=True)
class PodSpec:
    """A pod template: its containers in the order in which they start (init containers and sidecars first)."""

    containers: tuple[ContainerSpec, ...] = (ContainerSpec(readiness=ProbeSpec()),)
    grace: int = 30 * SECOND
    serving: str = ""
    """The container that the Service's port names: the pod's milestones are its."""
    publish_not_ready: bool = False
    """The Service's ``publishNotReadyAddresses``."""

    @property
    def server(self) -> ContainerSpec:
        """The serving container."""
        return next(one for one in self.containers if one.name == self.serving)


@dataclass(frozen=True, slots=True)
class Delays:
    """How long the control plane takes for this pod, drawn once (nanoseconds; defaults: medians of Kubernetes 1.34)."""

    start: int = 520 * MILLISECOND
    """Created → first process."""
    probe_phase: int = 430 * MILLISECOND
    """First process, or the `relist` that notices it → first probe."""
    status: int = 1 * SECOND
    """First process, or the `relist` that notices it → its address is in the EndpointSlice though it is not ready: in
    a cluster often some ms before it is ready there, so that kube-proxy's sync has begun without it."""
    ready_to_slice: int = 9 * MILLISECOND
    deletion_to_slice: int = 15 * MILLISECOND
    deletion_to_stop: int = 9 * MILLISECOND
    """Deletion → preStop or, without one, the stop signal."""
    exec_overhead: int = 30 * MILLISECOND
    """What an exec hook costs besides its own time."""
    exit_to_silence: int = 80 * MILLISECOND
    """Exit → the dead pod's address answers nothing any more, not even "refused"."""
    exit_to_slice: int = 150 * MILLISECOND
    exit_to_ended: int = 200 * MILLISECOND
    """Exit → the kubelet has taken the pod down."""
    ended_to_gone: int = 30 * MILLISECOND
    """That, or the `relist` after it → the object is gone."""
    next_container: int = 80 * MILLISECOND
    """The `relist` that notices that an init container ended, or a sidecar runs → what stands after it starts."""
    turn: int = 55 * MILLISECOND
    """The last main container ended → the sidecars' stop signal."""
    relist: int | None = None
    """An instant of the kubelet's relists, one every `RELIST`: a container is noticed at the next one, so that pods
    which follow each other become ready in its rhythm. None: at once."""
    second: int | None = None
    """An instant at which a second of the node's clock begins: a probe's initial delay counts from the whole second in
    which its container started (``normalizeStatus``), so that it is up to a second shorter. None: from the start."""

    def unnoticed(self, now: int) -> int:
        """How long (ns) until the kubelet's next relist."""
        return until_relist(self.relist, now)

    def credit(self, started: int) -> int:
        """How much (ns) of a probe's initial delay is over at the start already."""
        return 0 if self.second is None else (started - self.second) % SECOND
