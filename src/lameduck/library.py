"""What lameduck offers to Python programs: `prove` and `prove_async`, on this machine, for a command or for manifests.

Law: an argument means what the option of the same name means on the command line, and is refused for the same reasons;
durations are seconds here. A lost request is no exception: it is in the `Proof`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from lameduck.core import path as ways
from lameduck.core.errors import EnvironmentFault, LameduckError, UsageError
from lameduck.core.exchange import Lane
from lameduck.core.finding import Finding
from lameduck.core.instants import from_seconds
from lameduck.core.plan import Disruption, DisruptionPlan, Plan, RequestShape, TrafficPlan
from lameduck.core.proof import Proof, Verdict
from lameduck.local.spec import LocalSpec, signal_number
from lameduck.proving import Progress, run_loop
from lameduck.proving import prove_async as prove_plan

if TYPE_CHECKING:
    from lameduck.cluster import Cluster, Observer

__all__ = [
    "EnvironmentFault",
    "Finding",
    "LameduckError",
    "Options",
    "Progress",
    "Proof",
    "UsageError",
    "Verdict",
    "prove",
    "prove_async",
]

Target = Sequence[str] | Path


class Options(TypedDict, total=False):
    """What may be said beside the target. What is left out is the manifest's, or the default in brackets."""

    rollouts: int
    """How often it is disrupted (3); 0 is a control run."""
    disrupt: str
    """rollout, scale, delete, evict, kill or crash (rollout)."""
    qps: float
    """Requests per second over all lanes (100)."""
    lanes: Sequence[str]
    """``new`` connections and ``reuse``, kept-alive ones, in equal shares (both)."""
    duration: float
    """At least so many seconds under load (10)."""
    timeout: float
    """Seconds from a request's start to its last byte (10)."""
    path: str
    """The request's path and query (/)."""
    method: str
    """GET."""
    headers: Mapping[str, str]
    """None beside Host, User-Agent and Accept."""
    body: bytes
    """Empty."""
    expect_status: Sequence[int]
    """Which answers are good (any 2xx)."""
    command: Sequence[str]
    """Instead of what the manifest's serving container runs."""
    service: str
    """Which of the manifest's Services is asked."""
    dockerfile: str | Path
    """The serving container's image."""
    replicas: int
    """3."""
    port: int
    """The container's port (the one that it opens)."""
    ready_path: str
    """Readiness probe: GET this path (a TCP connect)."""
    grace: float
    """terminationGracePeriodSeconds (30)."""
    pre_stop_sleep: int
    """A preStop hook that sleeps so many seconds."""
    pre_stop_exec: Sequence[str]
    """A preStop hook that runs this in the pod, as words."""
    stop_signal: str
    """What the serving container gets to stop (SIGTERM, or what its image says)."""
    max_surge: int | str
    """Of the rolling update (25%)."""
    max_unavailable: int | str
    """Of the rolling update (25%)."""
    min_ready_seconds: int
    """0."""
    env: Mapping[str, str]
    """Variables of the pods, beside the manifest's."""
    via: str
    """The traffic's way: service, ingress or slow-lb:SECONDS (service)."""
    min_sync: float
    """kube-proxy's minSyncPeriod in seconds (1)."""
    start_deadline: float
    """Seconds until all replicas must be ready at first (60)."""
    seed: int
    """Of everything that is drawn (1)."""
    run_dir: Path
    """Where the run is kept (a folder of its own where the command line keeps runs)."""
    watch: Callable[[Progress], None]
    """Called four times a second while something goes on."""


def prove(target: Target, **options: Unpack[Options]) -> Proof:
    """Prove on this machine that a rollout loses no request: load, rollouts, observation, verdict.

    ``target`` is a command as a list of words (what one pod runs; it listens on ``$PORT``, and ``{port}`` in it is
    replaced), or the path of a manifest, or of a folder of them. Every option means what the option of that name means
    to `lameduck prove --local`; they are listed in `Options` and in docs/library.md.

    Blocks until the last pod is gone; within a running event loop use `prove_async`. Returns the `Proof`: its
    ``verdict``, ``sentence``, ``failed``, ``findings``, and all the rest by ``as_dict()``.

    Raises `UsageError` for what cannot be asked so, `EnvironmentFault` where this machine is in the way (both are
    `LameduckError`), never for a lost request.
    """
    return run_loop(prove_async(target, **options))


async def prove_async(target: Target, **options: Unpack[Options]) -> Proof:
    """`prove` within a running event loop. Cancelling it stops the pods and still judges what there is."""
    unknown = sorted(set(options) - set(Options.__annotations__))
    if unknown:
        raise UsageError(f"lameduck.prove has no option {unknown[0]!r}; it has {', '.join(Options.__annotations__)}")
    pause = ways.rest(_via(options.get("via", "service")), from_seconds(options.get("min_sync", 1.0)))
    plan = Plan(_traffic(options), _disruption(options.get("disrupt", "rollout"), options.get("rollouts", 3), pause))
    with _folder() as folder:
        spec = _over(_spec(target, options, plan, folder), options, plan)
        spec.check()
        watch, run_dir = options.get("watch", _ignore), options.get("run_dir")
        about = {"command": f"lameduck.prove({str(target)!r}, …)"}
        return await prove_plan(_local(spec), plan, run_dir=run_dir, watch=watch, about=about)


def _traffic(options: Options) -> TrafficPlan:
    statuses = tuple(range(status, status + 1) for status in options.get("expect_status", ()))
    request = RequestShape(
        method=options.get("method", "GET"),
        path=options.get("path", "/"),
        headers=tuple(options.get("headers", {}).items()),
        body=options.get("body", b""),
        expect_status=statuses or (range(200, 300),),
    )
    return TrafficPlan(
        rate=_positive("qps", options.get("qps", 100.0)),
        duration=_nanoseconds("duration", options.get("duration", 10.0)),
        lanes=_lanes(options.get("lanes", ("new", "reuse"))),
        requests=(request,),
        timeout=_nanoseconds("timeout", options.get("timeout", 10.0)),
        seed=options.get("seed", 1),
    )


def _ignore(_: Progress) -> None:
    return


def _local(spec: LocalSpec) -> Callable[[Observer, Path], Cluster]:
    from lameduck.local.cluster import LocalCluster  # noqa: PLC0415 - Linux's own modules

    return lambda observe, folder: LocalCluster(replace(spec, run_dir=folder), observe)


@contextmanager
def _folder() -> Iterator[Path]:
    """Where the files of ConfigMaps and Secrets are written while a proof lasts."""
    with tempfile.TemporaryDirectory(prefix="lameduck-files-") as name:
        yield Path(name)


def _spec(target: Target, options: Options, plan: Plan, folder: Path) -> LocalSpec:
    if not isinstance(target, str | Path):
        beside = [name for name in ("command", "service", "dockerfile") if name in options]
        if beside:
            raise UsageError(f"{beside[0]} goes with a manifest, not with a command")
        return LocalSpec(command=tuple(map(str, target)))
    if isinstance(target, str) and not Path(target).exists() and " " in target:
        raise UsageError(f"a command is a list of words, as in {target.split()!r}; a text is the path of a manifest")
    from lameduck.cli.inputs import load  # noqa: PLC0415 - YAML is slow to import
    from lameduck.local.manifest.chosen import Wish  # noqa: PLC0415
    from lameduck.local.manifest.reading import spec_of  # noqa: PLC0415
    from lameduck.manifests.project import Project  # noqa: PLC0415

    inputs = load([str(target)])
    for unreadable, why in inputs.unreadable:
        raise UsageError(f"{unreadable}: {why}")
    wish = Wish(
        service=options.get("service", ""),
        command=tuple(options.get("command", ())),
        dockerfiles={"": str(options["dockerfile"])} if "dockerfile" in options else {},
    )
    return spec_of(Project(inputs.texts, inputs.read), inputs.read, wish, plan.disruption.kind, folder)


_AS_THEY_ARE = ("replicas", "port", "ready_path", "pre_stop_sleep", "max_surge", "max_unavailable", "min_ready_seconds")


def _over(spec: LocalSpec, options: Options, plan: Plan) -> LocalSpec:
    """The workload with what was said beside its manifest."""
    over: dict[str, Any] = {name: value for name, value in options.items() if name in _AS_THEY_ARE}
    if "grace" in options:
        over["grace"] = from_seconds(options["grace"])
    if "pre_stop_exec" in options:
        over["pre_stop_exec"] = tuple(options["pre_stop_exec"])
    if "stop_signal" in options:
        over["stop_signal"] = _stop_signal(options["stop_signal"])
    return replace(
        spec,
        env={**spec.env, **options.get("env", {})},
        via=_via(options.get("via", "service")),
        min_sync=from_seconds(options.get("min_sync", 1.0)),
        start_deadline=_nanoseconds("start_deadline", options.get("start_deadline", 60.0)),
        seed=options.get("seed", 1),
        disruption=plan.disruption.kind,
        **over,
    )


def _stop_signal(text: str) -> int:
    try:
        return signal_number(text)
    except ValueError as error:
        raise UsageError(f"stop_signal is {error}") from None


def _via(text: str) -> ways.Via:
    try:
        return ways.parse(text)
    except ValueError as error:
        raise UsageError(f"via {error}") from None


def _disruption(name: str, times: int, rest: int) -> DisruptionPlan:
    here = [
        Disruption.ROLLOUT,
        Disruption.SCALE,
        Disruption.DELETE,
        Disruption.EVICT,
        Disruption.KILL,
        Disruption.CRASH,
    ]
    if name not in here:
        raise UsageError(f"disrupt is {', '.join(here)}, not {name!r}")
    if times < 0:
        raise UsageError("rollouts is 0 (a control run) or more")
    return DisruptionPlan(Disruption(name), times, rest=rest)


def _lanes(names: Sequence[str]) -> tuple[tuple[Lane, float], ...]:
    try:
        lanes = tuple((Lane(name), 1.0) for name in names)
    except ValueError:
        lanes = ()
    if isinstance(names, str) or not lanes:
        raise UsageError(f"lanes is a list of 'new' and 'reuse', not {names!r}")
    return lanes


def _positive(name: str, value: float) -> float:
    if not 0 < value < float("inf"):
        raise UsageError(f"{name} is a number above 0, not {value!r}")
    return float(value)


def _nanoseconds(name: str, seconds: float) -> int:
    return from_seconds(_positive(name, seconds))
