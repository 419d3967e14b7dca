"""Proving on this machine: its options, a bare command or manifests, and the fix proven after the finding.

Law: defaults < manifest < settings < flags, so that an option which nobody gave leaves what the manifest says.
"""

from __future__ import annotations

import argparse
import re
import shlex
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lameduck.cli import bring
from lameduck.cli.traffic import secrets, socket_plan, traffic_plan
from lameduck.core.errors import UsageError

if TYPE_CHECKING:
    from lameduck.cluster import Cluster, Observer
    from lameduck.core.path import Via
    from lameduck.core.plan import DisruptionPlan, Plan
    from lameduck.core.proof import Proof
    from lameduck.local.spec import LocalSpec

_TARGET = re.compile(r"(?i)(deployments?|deploy|statefulsets?|sts|daemonsets?|ds)/[a-z0-9][-a-z0-9.]*\Z")
KINDS = "rollout, scale, delete, evict, kill, crash or reload"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options of a proof on this machine."""
    _manifests(parser.add_argument_group("manifests (with --local)"))
    _workload(parser.add_argument_group("the workload (with --local; over what a manifest says)"))
    _machine(parser.add_argument_group("this machine (with --local)"))


def _manifests(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("-f", "--filename", action="append", default=[], metavar="PATH", help="a manifest, a folder of them, or -")
    add(
        "--dockerfile",
        action="append",
        default=[],
        metavar="[NAME=]FILE",
        help="the image of the serving container, or of that one: its command, variables, stop signal and files",
    )
    add("--without", action="append", default=[], metavar="NAME", help="leave this container out; repeatable")
    add(
        "--volume",
        action="append",
        default=[],
        metavar="NAME=DIR",
        help="what stands for a volume that nobody has here: a folder, or empty",
    )
    add(
        "--resolve",
        choices=("once", "always"),
        default="always",
        help="when clients of a headless Service ask its name",
    )


def _workload(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--replicas", type=int, metavar="N", help="replicas (3)")
    group.add_argument("--port", type=int, metavar="PORT", help="the port that CMD listens on (the one it opens)")
    group.add_argument("--ready-path", metavar="PATH", help="readiness probe: GET this path (a TCP connect)")
    group.add_argument("--grace", type=float, metavar="SECONDS", help="terminationGracePeriodSeconds (30)")
    hook = group.add_mutually_exclusive_group()
    hook.add_argument("--pre-stop-sleep", type=int, metavar="SECONDS", help="a preStop hook that sleeps")
    hook.add_argument("--pre-stop-exec", metavar="COMMAND", help="a preStop hook that runs this in the pod")
    group.add_argument(
        "--stop-signal", metavar="NAME", help="what CMD gets to stop, as an image's STOPSIGNAL (SIGTERM)"
    )
    group.add_argument("--max-surge", metavar="N|P%", help="of the rolling update (25%%)")
    group.add_argument("--max-unavailable", metavar="N|P%", help="of the rolling update (25%%)")
    group.add_argument("--min-ready-seconds", type=int, metavar="SECONDS", help="minReadySeconds (0)")


def _machine(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--start-deadline",
        type=float,
        default=60.0,
        metavar="SECONDS",
        help="until all replicas are ready at first (60)",
    )
    group.add_argument(
        "--reach", action="append", default=[], metavar="HOST:PORT", help="let pods reach this address; repeatable"
    )
    group.add_argument(
        "--network", choices=("sandbox", "host"), default="sandbox", help="host: no network of its own, $PORT differs"
    )
    group.add_argument(
        "--via",
        default="service",
        metavar="WAY",
        help="the traffic's way: service, ingress, or slow-lb:SECONDS, a load balancer that goes on sending (service)",
    )
    group.add_argument(
        "--notice", type=float, metavar="SECONDS", help="with --disrupt delete: a node that goes leaves so much grace"
    )
    group.add_argument("--min-sync", type=float, default=1.0, metavar="SECONDS", help="kube-proxy's minSyncPeriod (1)")
    group.add_argument(
        "--verify-fix", action="store_true", help="apply what the findings propose, prove again, show both"
    )


def run(arguments: argparse.Namespace) -> int:
    """Prove, print, and say by the exit code what came of it."""
    from lameduck.cli.prove import exit_code, show

    plan = plan_of(arguments)
    imports = bring.wanted(arguments)
    if arguments.verify_fix and imports is not None and not imports.command:
        raise UsageError("--verify-fix proves twice: your load must be one that lameduck can start, --load-command CMD")
    about = {"command": shlex.join(["lameduck", *sys.argv[1:]])}
    if not arguments.filename:
        _only_with_files(arguments)
        spec = bare_spec(arguments, plan)
        proof = perform(spec, plan, arguments, about)
        show(proof, arguments)
        if arguments.verify_fix and proof.failed:
            proof = verify_fix(proof, spec, plan, arguments, about)
        return exit_code(proof, arguments.max_failures)
    from lameduck.cli.prove_files import run_files

    with _folder() as folder:
        return run_files(arguments, plan, about, folder)


@contextmanager
def _folder() -> Iterator[Path]:
    """Where the files of ConfigMaps and Secrets are written while a proof lasts: nobody else may read there."""
    with tempfile.TemporaryDirectory(prefix="lameduck-files-") as name:
        yield Path(name)


def _only_with_files(arguments: argparse.Namespace) -> None:
    for option in ("dockerfile", "without", "volume"):
        if getattr(arguments, option):
            raise UsageError(f"--{option} goes with manifests: -f FILE")


def perform(spec: LocalSpec, plan: Plan, arguments: argparse.Namespace, about: dict[str, str]) -> Proof:
    """One proof with its live view on standard error."""
    from rich.console import Console

    from lameduck.cli.live import live
    from lameduck.proving import prove

    with live(Console(stderr=True), quiet=arguments.quiet) as watch:
        return prove(
            local_cluster(spec),
            plan,
            run_dir=arguments.run_dir,
            secrets=secrets(plan.traffic),
            watch=watch,
            about=about,
            imports=bring.wanted(arguments),
        )


def local_cluster(spec: LocalSpec) -> Callable[[Observer, Path], Cluster]:
    """What makes the cluster once its observer and the run's folder are known."""
    from dataclasses import replace

    from lameduck.local.cluster import LocalCluster

    return lambda observe, folder: LocalCluster(replace(spec, run_dir=folder), observe)


def plan_of(arguments: argparse.Namespace) -> Plan:
    """Traffic and disruptions that the arguments ask for. Raises `UsageError`."""
    from lameduck.core.plan import Plan

    return Plan(traffic_plan(arguments), disruption_of(arguments), socket_plan(arguments))


def disruption_of(arguments: argparse.Namespace) -> DisruptionPlan:
    """What is done to the workload. Raises `UsageError` for what does not fit together."""
    from lameduck.core.instants import from_seconds
    from lameduck.core.path import rest
    from lameduck.core.plan import Disruption, DisruptionPlan

    if arguments.rollouts < 0:
        raise UsageError("--rollouts is 0 (a control run) or more")
    command = arguments.disrupt_command
    name = arguments.disrupt or ("reload" if command else "rollout")
    try:
        kind = Disruption(name)
    except ValueError:
        raise UsageError(f"--disrupt is {KINDS}, not '{name}'") from None
    if kind in {Disruption.DRAIN, Disruption.COMMAND, Disruption.NONE}:
        raise UsageError(f"--disrupt {name} needs a real cluster; on this machine it is {KINDS}")
    if kind is Disruption.RELOAD and not command:
        raise UsageError("what reloads a pod? Say it, as in --disrupt-command 'kill -HUP 1'")
    if command and kind is not Disruption.RELOAD:
        raise UsageError(f"--disrupt-command runs in every pod, as --disrupt reload; it does not go with {name}")
    deadline = from_seconds(600.0 if arguments.deadline is None else arguments.deadline)
    pause = rest(way(arguments.via), from_seconds(arguments.min_sync))
    return DisruptionPlan(kind, arguments.rollouts, deadline, command, pause)


def bare_spec(arguments: argparse.Namespace, plan: Plan) -> LocalSpec:
    """A bare command as the arguments want it. Raises `UsageError`."""
    from lameduck.local.spec import LocalSpec

    if not arguments.command:
        raise UsageError(
            "what shall a pod run? Put the command after --, as in: lameduck prove --local -- python app.py; "
            "or name manifests with -f"
        )
    spec = LocalSpec(command=tuple(arguments.command), port=arguments.port)
    return over(spec, arguments, plan)


def over(spec: LocalSpec, arguments: argparse.Namespace, plan: Plan) -> LocalSpec:
    """The workload with what the arguments say over it. Raises `UsageError`."""
    from dataclasses import replace

    from lameduck.core.instants import from_seconds
    from lameduck.core.plan import Disruption

    if arguments.replicas is not None and arguments.replicas < 1:
        raise UsageError("--replicas is 1 or more")
    said: dict[str, Any] = {
        "replicas": arguments.replicas,
        "ready_path": arguments.ready_path,
        "grace": None if arguments.grace is None else from_seconds(arguments.grace),
        "pre_stop_sleep": arguments.pre_stop_sleep,
        "pre_stop_exec": tuple(shlex.split(arguments.pre_stop_exec)) if arguments.pre_stop_exec else None,
        "stop_signal": stop_signal(arguments.stop_signal) if arguments.stop_signal else None,
        "max_surge": _given(arguments.max_surge, "--max-surge"),
        "max_unavailable": _given(arguments.max_unavailable, "--max-unavailable"),
        "min_ready_seconds": arguments.min_ready_seconds,
        "deadline": None if arguments.deadline is None else from_seconds(arguments.deadline),
        "notice": None if arguments.notice is None else from_seconds(arguments.notice),
    }
    if arguments.notice is not None and plan.disruption.kind is not Disruption.DELETE:
        raise UsageError("--notice is what a node that goes away leaves a pod: it goes with --disrupt delete")
    if plan.disruption.command:
        said["disrupt_command"] = ("/bin/sh", "-c", plan.disruption.command)
    return replace(
        spec,
        disruption=plan.disruption.kind,
        start_deadline=from_seconds(arguments.start_deadline),
        reach=tuple(host_and_port(each) for each in arguments.reach),
        network=arguments.network,
        service_port=_service_port(arguments.service_port),
        resolve=arguments.resolve,
        via=way(arguments.via),
        min_sync=from_seconds(arguments.min_sync),
        seed=1 if arguments.seed is None else arguments.seed,
        **{name: value for name, value in said.items() if value is not None},
    )


def stop_signal(text: str) -> int:
    """A signal by its name or number. Raises `UsageError`."""
    from lameduck.local.spec import signal_number

    try:
        return signal_number(text)
    except ValueError as error:
        raise UsageError(f"--stop-signal is {error}") from None


def way(text: str) -> Via:
    """The traffic's way. Raises `UsageError`."""
    from lameduck.core.path import parse

    try:
        return parse(text)
    except ValueError as error:
        raise UsageError(f"--via {error}") from None


def _service_port(text: str) -> int:
    if text and not (text.isdigit() and int(text) < 65536):
        raise UsageError(f"with --local, --service-port is a port of 127.0.0.1, not '{text}'")
    return int(text or 0)


def int_or_percent(text: str, option: str) -> int | str:
    """Kubernetes' IntOrString. Raises `UsageError`."""
    if text.isdigit():
        return int(text)
    if text.endswith("%") and text[:-1].isdigit():
        return text
    raise UsageError(f"{option} is a number or a percentage such as 25%, not '{text}'")


def _given(text: str | None, option: str) -> int | str | None:
    return None if text is None else int_or_percent(text, option)


def host_and_port(text: str) -> tuple[str, int]:
    """HOST:PORT. Raises `UsageError`."""
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise UsageError(f"--reach wants HOST:PORT, such as localhost:5432, not '{text}'")
    return host, int(port)


def target_and_command(words: list[str]) -> tuple[str, tuple[str, ...]]:
    """TYPE/NAME, where the first word is one, and the command."""
    if words and _TARGET.match(words[0]):
        return words[0], tuple(words[1:])
    return "", tuple(words)


def verify_fix(
    before: Proof, spec: LocalSpec, plan: Plan, arguments: argparse.Namespace, about: dict[str, str]
) -> Proof:
    """Apply what can be applied to the bare command's workload, prove again, show both verdicts."""
    from lameduck.local.mending import mend

    mended = mend(spec, before)
    return proven_again(
        before, None if mended.spec == spec else mended.spec, mended.applied, mended.left, plan, arguments, about
    )


def proven_again(
    before: Proof,
    spec: LocalSpec | None,
    applied: tuple[str, ...],
    left: tuple[str, ...],
    plan: Plan,
    arguments: argparse.Namespace,
    about: dict[str, str],
) -> Proof:
    """Say what was applied and what was not, prove the mended workload (None: nothing was mended), show both."""
    from rich.console import Console

    from lameduck.cli.prove import show
    from lameduck.report.terminal import comparison

    console = Console(stderr=arguments.json == "-", highlight=False)
    for line in applied:
        console.print(f"applied: {line}", style="green", markup=False)
    for line in left:
        console.print(f"not applied, so not proven here: {line}", style="yellow", markup=False)
    if spec is None:
        console.print("nothing of the fix can be applied here", style="yellow")
        return before
    after = perform(spec, plan, argparse.Namespace(**{**vars(arguments), "run_dir": None}), about)
    show(after, arguments)
    console.print(comparison([("before", before), ("with the fix", after)]))
    return after
