"""What a run is going to do, decided before anything is touched.

Law: a plan is data. It holds no secret (header values that came from the environment are named, not stored) and can be
written into the run file and printed by ``--dry-run``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from lameduck.core.exchange import Lane
from lameduck.core.instants import SECOND


class ArrivalProcess(StrEnum):
    """How the intended starts are spread over time."""

    CONSTANT = "constant"
    POISSON = "poisson"
    RAMP = "ramp"
    """Linear from `TrafficPlan.ramp_from` to `TrafficPlan.rate` over the duration."""


@dataclass(frozen=True, slots=True)
class BodyExpectation:
    """What the answer's body must hold: exactly one of the three is set."""

    contains: str = ""
    matches: str = ""
    """A regular expression, searched in the body read as UTF-8."""
    pointer: str = ""
    """A JSON pointer (RFC 6901); the value there must equal `equals` (JSON)."""
    equals: str = ""


@dataclass(frozen=True, slots=True)
class RequestShape:
    """One kind of request, and its share of all requests (shares need not add up to 1)."""

    method: str = "GET"
    path: str = "/"
    headers: tuple[tuple[str, str], ...] = ()
    secret_headers: tuple[tuple[str, str], ...] = ()
    """(header name, environment variable): the value is read when the run starts and never stored."""
    body: bytes = b""
    weight: float = 1.0
    expect_status: tuple[range, ...] = (range(200, 300),)
    expect_body: BodyExpectation | None = None


@dataclass(frozen=True, slots=True)
class TrafficPlan:
    """The load: arrival rate in requests per second over all lanes, time-outs in nanoseconds."""

    rate: float = 100.0
    arrivals: ArrivalProcess = ArrivalProcess.CONSTANT
    ramp_from: float = 0.0
    duration: int = 10 * SECOND
    """The least time under load, in nanoseconds."""
    lanes: tuple[tuple[Lane, float], ...] = ((Lane.NEW, 0.5), (Lane.REUSE, 0.5))
    """Each lane's share of the rate."""
    requests: tuple[RequestShape, ...] = field(default=(RequestShape(),))
    connect_timeout: int = 5 * SECOND
    timeout: int = 10 * SECOND
    """From the actual start to the last byte."""
    connections: int = 0
    """Kept-alive connections, of all workers together, each in turn and more only where none is idle; 0: as many as the
    rate needs, and some that sleep for as long as servers usually keep idle ones."""
    look: bool = True
    """Look at a kept-alive socket before reusing it, as good clients do."""
    refill: bool = True
    """Dial anew in the place of a kept-alive connection that has ended; else, once there have been as many as there
    should be, only where none is idle, as most clients do."""
    served_by_header: str = "x-served-by"
    seed: int = 1


class Disruption(StrEnum):
    """What is done to the workload."""

    ROLLOUT = "rollout"
    """A restart: every pod is replaced by the workload's own strategy."""
    SCALE = "scale"
    """Down by one and up again."""
    DELETE = "delete"
    """One pod, with its grace period."""
    EVICT = "evict"
    """One pod, by the eviction API, which asks PodDisruptionBudgets."""
    DRAIN = "drain"
    """One node: cordoned, its pods of the workload evicted, uncordoned."""
    KILL = "kill"
    """One pod, without any grace: to show the difference."""
    CRASH = "crash"
    """One pod's first process dies; its kubelet starts it again."""
    RELOAD = "reload"
    """A command of the user's runs in every pod: a reload in place, of which no pod ends."""
    COMMAND = "command"
    """The user's own way to roll out: a command line, such as ``helm upgrade …``."""
    NONE = "none"
    """Nothing: rollouts that somebody else starts are waited for."""

    @property
    def ends_pods(self) -> bool:
        """Whether pods go: else what is at risk is the time of the disruption itself."""
        return self not in {Disruption.CRASH, Disruption.RELOAD}


@dataclass(frozen=True, slots=True)
class DisruptionPlan:
    """What is done to the workload, how often, and how long one may take (nanoseconds)."""

    kind: Disruption = Disruption.ROLLOUT
    times: int = 3
    deadline: int = 600 * SECOND
    command: str = ""
    """What a shell runs for `Disruption.COMMAND`."""
    rest: int = 1 * SECOND
    """Load alone between two of them, so that each finds the ways at rest as one that comes alone would: what the one
    before left to a node's next sync would else carry this one's removals along, far sooner than they really come."""


@dataclass(frozen=True, slots=True)
class SocketPlan:
    """WebSockets that are held open beside the requests: how many, where, and how soon one must be back (ns)."""

    count: int
    path: str = "/"
    back_within: int = 5 * SECOND


@dataclass(frozen=True, slots=True)
class Plan:
    """Traffic and disruptions of one run."""

    traffic: TrafficPlan
    disruption: DisruptionPlan
    sockets: SocketPlan | None = None
    settle: int = 1 * SECOND
    """Load whose results are discarded, at the start."""
    baseline: int = 5 * SECOND
    """The least baseline; it also lasts for `baseline_requests` requests."""
    baseline_requests: int = 500
