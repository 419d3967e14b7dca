"""Prove that a rollout loses no request: load, rollouts and observation, then a verdict with its causes and fixes.

  lameduck prove --local --qps 500 --rollouts 3 --path /v2/health/ready -- python -m myservice

starts three replicas of the command in sandboxes of their own on this machine (a Deployment, a Service and a kubelet
over real processes; no cluster, no root), sends 500 requests a second on new and on kept-alive connections, rolls it
three times, and says whether anything was lost, why, and what mends it.

exit codes: 0 proven, 1 failed, 2 usage, 3 inconclusive, 4 environment, 130 interrupted
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from lameduck.cli import bring, prove_kube
from lameduck.cli.traffic import add_socket_options, add_traffic_options, secrets, socket_plan, traffic_plan
from lameduck.core.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from lameduck.cluster import Cluster, Observer
    from lameduck.core.path import Via
    from lameduck.core.plan import Plan
    from lameduck.core.proof import Proof
    from lameduck.local.spec import LocalSpec


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "command",
        nargs="*",
        metavar="TYPE/NAME | -- CMD",
        help="the workload on a cluster; with --local what a pod runs, after --; {port} is replaced",
    )
    parser.add_argument("--local", action="store_true", help="prove on this machine, without a cluster")
    parser.add_argument("--rollouts", type=int, default=3, metavar="N", help="rolling updates; 0 is a control run (3)")
    parser.add_argument(
        "--max-failures", type=int, default=0, metavar="N", help="exit 0 up to N lost requests; the verdict stays"
    )
    add_traffic_options(parser)
    add_socket_options(parser)
    bring.configure(parser)
    _workload(parser.add_argument_group("the workload"))
    prove_kube.configure(parser)
    output = parser.add_argument_group("output")
    output.add_argument("--json", metavar="FILE", help="write the proof as JSON; - is standard output")
    output.add_argument(
        "-o", "--output", choices=("json", "yaml"), help="the proof on standard output, as kubectl prints objects"
    )
    output.add_argument("--run-dir", type=Path, metavar="DIR", help="keep the run there")
    output.add_argument("--quiet", action="store_true", help="no progress, only the result")


def _workload(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--replicas", type=int, default=3, metavar="N", help="replicas (3)")
    group.add_argument("--port", type=int, metavar="PORT", help="the port that CMD listens on (the one it opens)")
    group.add_argument("--ready-path", metavar="PATH", help="readiness probe: GET this path (a TCP connect)")
    group.add_argument(
        "--grace", type=float, default=30.0, metavar="SECONDS", help="terminationGracePeriodSeconds (30)"
    )
    hook = group.add_mutually_exclusive_group()
    hook.add_argument("--pre-stop-sleep", type=int, metavar="SECONDS", help="a preStop hook that sleeps")
    hook.add_argument("--pre-stop-exec", metavar="COMMAND", help="a preStop hook that runs this in the pod")
    group.add_argument("--max-surge", default="25%", metavar="N|P%", help="of the rolling update (25%%)")
    group.add_argument("--max-unavailable", default="25%", metavar="N|P%", help="of the rolling update (25%%)")
    group.add_argument("--min-ready-seconds", type=int, default=0, metavar="SECONDS", help="minReadySeconds (0)")
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
    group.add_argument("--min-sync", type=float, default=1.0, metavar="SECONDS", help="kube-proxy's minSyncPeriod (1)")
    group.add_argument(
        "--verify-fix", action="store_true", help="apply what the findings propose, prove again, show both"
    )


def run(arguments: argparse.Namespace) -> int:
    """Prove, print, and say by the exit code what came of it."""
    if not arguments.local:
        return prove_kube.run(arguments)
    plan, spec = plan_of(arguments), local_spec(arguments)
    imports = bring.wanted(arguments)
    if arguments.verify_fix and imports is not None and not imports.command:
        raise UsageError("--verify-fix proves twice: your load must be one that lameduck can start, --load-command CMD")
    about = {"command": shlex.join(["lameduck", *sys.argv[1:]])}
    proof = perform(spec, plan, arguments, about)
    show(proof, arguments)
    if arguments.verify_fix and proof.failed:
        proof = verify_fix(proof, spec, plan, arguments, about)
    return exit_code(proof, arguments.max_failures)


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
    from lameduck.core.plan import DisruptionPlan, Plan

    if arguments.rollouts < 0:
        raise UsageError("--rollouts is 0 (a control run) or more")
    return Plan(traffic_plan(arguments), DisruptionPlan(times=arguments.rollouts), socket_plan(arguments))


def local_spec(arguments: argparse.Namespace) -> LocalSpec:
    """The workload that the arguments ask for. Raises `UsageError`."""
    from lameduck.core.instants import from_seconds
    from lameduck.local.spec import LocalSpec

    if not arguments.command:
        raise UsageError(
            "what shall a pod run? Put the command after --, as in: lameduck prove --local -- python app.py"
        )
    if arguments.replicas < 1:
        raise UsageError("--replicas is 1 or more")
    return LocalSpec(
        command=tuple(arguments.command),
        replicas=arguments.replicas,
        port=arguments.port,
        ready_path=arguments.ready_path,
        grace=from_seconds(arguments.grace),
        pre_stop_sleep=arguments.pre_stop_sleep,
        pre_stop_exec=tuple(shlex.split(arguments.pre_stop_exec)) if arguments.pre_stop_exec else None,
        max_surge=int_or_percent(arguments.max_surge, "--max-surge"),
        max_unavailable=int_or_percent(arguments.max_unavailable, "--max-unavailable"),
        min_ready_seconds=arguments.min_ready_seconds,
        start_deadline=from_seconds(arguments.start_deadline),
        reach=tuple(host_and_port(each) for each in arguments.reach),
        network=arguments.network,
        service_port=_service_port(arguments.service_port),
        via=way(arguments.via),
        min_sync=from_seconds(arguments.min_sync),
        seed=1 if arguments.seed is None else arguments.seed,
    )


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


def host_and_port(text: str) -> tuple[str, int]:
    """HOST:PORT. Raises `UsageError`."""
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise UsageError(f"--reach wants HOST:PORT, such as localhost:5432, not '{text}'")
    return host, int(port)


def show(proof: Proof, arguments: argparse.Namespace) -> None:
    """The final screen on standard output; the JSON where it was asked for."""
    from rich.console import Console

    from lameduck.report.terminal import screen

    printed = getattr(arguments, "output", None)
    to_stdout = arguments.json == "-" or printed is not None
    Console(stderr=to_stdout, highlight=False).print(screen(proof))
    if arguments.json:
        from lameduck.cli.output import write_json

        write_json(proof.as_dict(), arguments.json)
    if printed is not None and arguments.json != "-":
        from lameduck.cli.output import write_as

        write_as(proof.as_dict(), printed)


def exit_code(proof: Proof, max_failures: int) -> int:
    """What the process's exit code says of a proof."""
    from lameduck.core.proof import Verdict

    if proof.run.get("interrupted"):
        return ExitCode.INTERRUPTED
    if proof.verdict is Verdict.FAILED:
        lost = proof.failed + (len(proof.sockets.lost) if proof.sockets else 0)
        return ExitCode.OK if lost <= max_failures else ExitCode.FAILED
    return ExitCode.OK if proof.verdict is Verdict.PROVEN else ExitCode.INCONCLUSIVE


def verify_fix(
    before: Proof, spec: LocalSpec, plan: Plan, arguments: argparse.Namespace, about: dict[str, str]
) -> Proof:
    """Apply what can be applied to the workload as it is held here, prove again, show both verdicts."""
    from rich.console import Console

    from lameduck.local.mending import mend
    from lameduck.report.terminal import comparison

    console = Console(stderr=arguments.json == "-", highlight=False)
    mended = mend(spec, before)
    for line in mended.applied:
        console.print(f"applied: {line}", style="green", markup=False)
    for line in mended.left:
        console.print(f"not applied, so not proven here: {line}", style="yellow", markup=False)
    if mended.spec == spec:
        console.print("nothing of the fix can be applied to a bare command", style="yellow")
        return before
    after = perform(mended.spec, plan, argparse.Namespace(**{**vars(arguments), "run_dir": None}), about)
    show(after, arguments)
    console.print(comparison([("before", before), ("with the fix", after)]))
    return after
