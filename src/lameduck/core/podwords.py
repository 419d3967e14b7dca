"""What happens to a pod and what its kubelet does about it: the events and effects of `core.container` and `core.pod`.

Law: a container is named by its name in the pod; "" is the name of a pod's only container where nobody gave it one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from lameduck.core.endpoints import Endpoint
from lameduck.core.podspec import Hook
from lameduck.core.probes import ProbeSpec
from lameduck.core.timeline import Event as Fact
from lameduck.core.timeline import Milestone


class Which(StrEnum):
    """Which of a container's probes or hooks is meant."""

    READINESS = "readiness"
    LIVENESS = "liveness"
    STARTUP = "startup"
    POST_START = "postStart"
    PRE_STOP = "preStop"


@dataclass(frozen=True, slots=True)
class Created:
    """The pod object exists."""


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed."""


@dataclass(frozen=True, slots=True)
class Started:
    """A container's first process runs."""

    container: str = ""


@dataclass(frozen=True, slots=True)
class Listening:
    """Somebody listens on the pod's port, or nobody any more."""

    listening: bool


@dataclass(frozen=True, slots=True)
class Probed:
    """A probe ended."""

    ok: bool
    message: str = ""
    which: Which = Which.READINESS
    container: str = ""


@dataclass(frozen=True, slots=True)
class Deleted:
    """Its deletion was requested, with a grace period (ns) where it is not the pod's own."""

    grace: int | None = None


@dataclass(frozen=True, slots=True)
class HookEnded:
    """An exec or httpGet hook ended; `missing`: what it names is not in the image; `cut`: the container ended first."""

    ok: bool
    message: str = ""
    missing: bool = False
    which: Which = Which.PRE_STOP
    container: str = ""
    cut: bool = False


@dataclass(frozen=True, slots=True)
class Exited:
    """A container's first process ended, and everything below it with it."""

    code: int
    container: str = ""


@dataclass(frozen=True, slots=True)
class Run:
    """Start a container's first process."""

    container: str = ""


@dataclass(frozen=True, slots=True)
class Ask:
    """Send a probe."""

    spec: ProbeSpec
    which: Which = Which.READINESS
    container: str = ""


@dataclass(frozen=True, slots=True)
class RunHook:
    """Run an exec hook in a container, or send an httpGet one."""

    hook: Hook
    which: Which = Which.PRE_STOP
    container: str = ""


@dataclass(frozen=True, slots=True)
class Signal:
    """Send the stop signal to a container's first process."""

    signal: int
    container: str = ""


@dataclass(frozen=True, slots=True)
class Kill:
    """SIGKILL a whole container."""

    container: str = ""


@dataclass(frozen=True, slots=True)
class Silence:
    """From now on the dead pod's address answers nothing."""


@dataclass(frozen=True, slots=True)
class Publish:
    """The EndpointSlice gets this entry."""

    endpoint: Endpoint


@dataclass(frozen=True, slots=True)
class Withdraw:
    """The EndpointSlice loses the pod."""


@dataclass(frozen=True, slots=True)
class ConditionReady:
    """The pod's condition Ready changed: what the Deployment controller looks at."""

    ready: bool


@dataclass(frozen=True, slots=True)
class Report:
    """A milestone (or another fact) was reached, at the instant of the step."""

    what: Milestone | Fact
    detail: Mapping[str, Any] = field(default_factory=dict)


Event = Created | Tick | Started | Listening | Probed | Deleted | HookEnded | Exited
Effect = Run | Ask | RunHook | Signal | Kill | Silence | Publish | Withdraw | ConditionReady | Report
