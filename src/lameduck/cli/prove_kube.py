"""Proving on a real cluster: its options, the question before a cluster that nobody named, the dry run.

Law: a context that is not plainly a developer's own is touched only after a yes.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from lameduck.cli.traffic import secrets, traffic_plan
from lameduck.core.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from lameduck.core.plan import Plan
    from lameduck.kube.cluster import Wish
    from lameduck.kube.preflight import Checked


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options of a real cluster."""
    add = parser.add_argument_group("a real cluster").add_argument
    add("-n", "--namespace", default="", metavar="NS", help="the workload's namespace (the context's)")
    add("--context", default="", metavar="NAME", help="of the kubeconfig (its current one)")
    add("--kubeconfig", default="", metavar="FILE", help="$KUBECONFIG, ~/.kube/config, or the pod's own account")
    add("--service", default="", metavar="NAME", help="the Service in front (the one that selects the pods)")
    add("--service-port", default="", metavar="PORT", help="its port, by name or number (the only one)")
    add("--disrupt", default="rollout", metavar="KIND", help="rollout, scale, delete, evict, drain or kill (rollout)")
    add("--load-from", default="here", metavar="WHERE", help="here (to the Service's address), or http://HOST[:PORT]")
    add("--host", default="", metavar="NAME", help="the Host header, such as the ingress's host")
    add("--deadline", type=float, default=600.0, metavar="SECONDS", help="one disruption may take (600)")
    add("--listener-probe", action=argparse.BooleanOptionalAction, default=True, help="knock at pods that come and go")
    add("--yes", action="store_true", help="do not ask before touching a cluster")
    add("--dry-run", action="store_true", help="look at everything, print the plan, touch nothing")


def run(arguments: argparse.Namespace) -> int:
    """Prove, print, and say by the exit code what came of it."""
    from rich.console import Console

    from lameduck.cli.live import live
    from lameduck.cli.prove import exit_code, show
    from lameduck.kube.cluster import KubeCluster
    from lameduck.proving import prove

    plan, wish = plan_of(arguments), wish_of(arguments)
    if arguments.dry_run:
        return dry_run(plan, wish)
    confirm(wish, plan, yes=arguments.yes)
    about = {"command": shlex.join(["lameduck", *sys.argv[1:]])}
    made: list[KubeCluster] = []

    def make(observe: object, _: Path) -> KubeCluster:
        made.append(KubeCluster(wish, observe))  # type: ignore[arg-type]
        return made[0]

    try:
        with live(Console(stderr=True), quiet=arguments.quiet) as watch:
            proof = prove(
                make, plan, run_dir=arguments.run_dir, secrets=secrets(plan.traffic), watch=watch, about=about
            )
    finally:
        for command in made[0].left if made else ():
            print(f"lameduck: not put back; please run: {command}", file=sys.stderr)
    show(proof, arguments)
    return exit_code(proof, arguments.max_failures)


def plan_of(arguments: argparse.Namespace) -> Plan:
    """Traffic and disruptions that the arguments ask for. Raises `UsageError`."""
    from lameduck.core.instants import from_seconds
    from lameduck.core.plan import Disruption, DisruptionPlan, Plan

    if arguments.rollouts < 0:
        raise UsageError("--rollouts is 0 (a control run) or more")
    try:
        kind = Disruption(arguments.disrupt)
    except ValueError:
        kinds = ", ".join(each.value for each in Disruption)
        raise UsageError(f"--disrupt is one of {kinds}, not '{arguments.disrupt}'") from None
    times = 0 if kind is Disruption.NONE else arguments.rollouts
    return Plan(traffic_plan(arguments), DisruptionPlan(kind, times, from_seconds(arguments.deadline)))


def wish_of(arguments: argparse.Namespace) -> Wish:
    """The workload and the way to it. Raises `UsageError` and `EnvironmentFault`."""
    from lameduck.kube.cluster import Wish
    from lameduck.kube.connect import find_context
    from lameduck.kube.workload import parse_target

    if len(arguments.command) != 1:
        raise UsageError("name one workload, such as deployment/shop; or say --local -- CMD to prove on this machine")
    context = find_context(arguments.kubeconfig, arguments.context, arguments.namespace)
    target = parse_target(arguments.command[0], context.namespace)
    address, host = address_of(arguments.load_from, arguments.host)
    return Wish(
        context,
        target,
        plan_of(arguments).disruption,
        arguments.service,
        arguments.service_port,
        host,
        address,
        arguments.listener_probe,
    )


def address_of(text: str, host: str) -> tuple[tuple[str, int] | None, str]:
    """Where the load goes, and its Host header. Raises `UsageError`."""
    from urllib.parse import urlsplit

    if text == "here":
        return None, host
    if text == "cluster":
        raise UsageError("--load-from cluster (agents in the cluster) is not built in yet: here, or http://HOST[:PORT]")
    url = urlsplit(text)
    if url.scheme != "http" or not url.hostname:
        raise UsageError(f"--load-from is here or http://HOST[:PORT], not '{text}'")
    return (url.hostname, url.port or 80), host or url.netloc


def confirm(wish: Wish, plan: Plan, *, yes: bool) -> None:
    """Ask before a cluster that is not plainly a developer's own. Raises `UsageError` without a yes."""
    if yes or wish.context.local:
        return
    what = f"{plan.disruption.kind.value} {wish.target} in {wish.target.namespace} {plan.disruption.times} times"
    where = f"context {wish.context.name} ({wish.context.server})"
    if not sys.stdin.isatty():
        raise UsageError(f"this would {what}, {where}: say --yes if that is meant")
    print(f"This will {what}, under {plan.traffic.rate:g} requests per second, in {where}.", file=sys.stderr)
    print("Go on? [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
        raise UsageError("nothing was touched")


def dry_run(plan: Plan, wish: Wish) -> int:
    """Preflight, and what would be done."""
    import asyncio

    from lameduck.kube.api import Api
    from lameduck.kube.preflight import check

    async def look() -> Checked:
        api = Api(wish.context)
        try:
            kind, times = plan.disruption.kind, plan.disruption.times
            return await check(api, wish.target, kind, times, service=wish.service, port=wish.port)
        finally:
            await api.close()

    print(described(asyncio.run(look()), plan, wish))
    return ExitCode.OK


def described(checked: Checked, plan: Plan, wish: Wish) -> str:
    """The plan in words."""
    from lameduck.core.instants import human
    from lameduck.kube.preflight import rights_for, role

    service, traffic = checked.service["metadata"]["name"], plan.traffic
    where = (
        f"http://{wish.address[0]}:{wish.address[1]}" if wish.address else f"Service {service}:{checked.port['port']}"
    )
    lanes = ", ".join(f"{lane.value} {share:.0%}" for lane, share in traffic.lanes)
    shape, disruption = checked.shape, plan.disruption
    lines = [
        f"context    {wish.context.name} ({wish.context.server}, {checked.version})",
        f"workload   {checked.target} in {checked.target.namespace}: {checked.replicas} replicas",
        f"a pod ends grace {human(shape.grace)}, preStop {shape.pre_stop or 'none'}",
        f"disruption {disruption.kind.value}, {disruption.times} times, each at most {human(disruption.deadline)}",
        f"load       {traffic.rate:g} requests per second ({lanes}) from here to {where}",
        *(f"note       {note}" for note in checked.notes),
        "",
        "The rights that it takes:",
        role(checked.target, rights_for(checked.target, plan.disruption.kind)),
    ]
    return "\n".join(lines)
