"""Proving on a real cluster: its options, the question before a cluster that nobody named, the dry run.

Law: a context that is not plainly a developer's own is touched only after a yes.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from lameduck.cli import bring, values
from lameduck.cli.traffic import secrets, socket_plan, traffic_plan
from lameduck.core.errors import EnvironmentFault, ExitCode, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lameduck.cluster import Observer
    from lameduck.core.plan import DisruptionPlan, Plan
    from lameduck.kube.agents import AgentsWish
    from lameduck.kube.cluster import Wish
    from lameduck.kube.connect import Context
    from lameduck.kube.here import Way
    from lameduck.kube.preflight import Checked
    from lameduck.kube.workload import Target
    from lameduck.proving import Tls


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options of a real cluster."""
    add = parser.add_argument_group("a real cluster").add_argument
    add("-n", "--namespace", default="", metavar="NS", help="the workload's namespace (the context's)")
    add("--context", default="", metavar="NAME", help="of the kubeconfig (its current one)")
    add("--kubeconfig", default="", metavar="FILE", help="$KUBECONFIG, ~/.kube/config, or the pod's own account")
    add("-l", "--selector", default="", metavar="LABELS", help="the workload with these labels, instead of TYPE/NAME")
    add("--service", default="", metavar="NAME", help="the Service in front (the only one); with -f also NAME:PORT")
    add("--service-port", default="", metavar="PORT", help="its port (the only one); with --local on 127.0.0.1")
    add("--yes", action="store_true", help="do not ask before touching a cluster")
    add(
        "--trust-context",
        action="append",
        default=[],
        metavar="NAME",
        help="a context that is not asked about; in lameduck.toml: trust-context = [...]",
    )
    add("--dry-run", action="store_true", help="look at everything, print the plan, touch nothing")
    add("--look-inside", action="store_true", help="ask a pod, by exec of cat, whether its process 1 is a deaf shell")
    _disruption(parser.add_argument_group("what is done to it"))
    _load(parser.add_argument_group("where the load comes from (a real cluster)"))


def _disruption(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    kinds = "rollout (restart), scale (down and up), delete, evict, drain, kill (no grace) or none"
    add("--disrupt", default="", metavar="KIND", help=f"{kinds}; with --local also crash and reload (rollout)")
    add(
        "--disrupt-command",
        default="",
        metavar="LINE",
        help="your own way to roll out: 'helm upgrade ...'; with --local run in every pod",
    )
    add("--wait-rollouts", type=int, metavar="N", help="with --disrupt none: watch N rollouts that others start")
    add("--deadline", type=float, metavar="SECONDS", help="one disruption may take (600)")


def _load(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add(
        "--load-from",
        default="here",
        metavar="WHERE",
        help="cluster (agents in it), here (to the Service's address) or a URL in front of it (here)",
    )
    add("--agents", type=values.count, default=1, metavar="N", help="agents in the cluster, spread over its nodes (1)")
    add("--agent-image", default="", metavar="IMAGE", help="the agents' image, as scripts/agent-image builds it")
    add("--host", default="", metavar="NAME", help="the Host header, such as the ingress's host")
    add("--cacert", default="", metavar="FILE", help="trust this certificate authority for an https:// URL")
    add("--insecure", action="store_true", help="trust any certificate of an https:// URL")
    add("--server-name", default="", metavar="NAME", help="the name to ask for and check in TLS (--host, the URL's)")
    add("--listener-probe", action=argparse.BooleanOptionalAction, default=True, help="knock at pods that come and go")


def run(arguments: argparse.Namespace) -> int:
    """Prove, print, and say by the exit code what came of it."""
    from rich.console import Console

    from lameduck.cli.live import live
    from lameduck.cli.prove import exit_code, show
    from lameduck.kube.cluster import KubeCluster
    from lameduck.proving import prove

    plan, wish, imports = plan_of(arguments), wish_of(arguments), bring.wanted(arguments)
    if imports is not None and arguments.load_from == "cluster":
        raise UsageError("--load-from cluster is for lameduck's own load, and you bring another: leave one of them out")
    if arguments.dry_run:
        return dry_run(plan, wish)
    confirm(wish, plan, yes=arguments.yes, trusted=arguments.trust_context)
    tls = tls_of(arguments, wish)
    about = {"command": shlex.join(["lameduck", *sys.argv[1:]])}
    made: list[KubeCluster] = []

    def make(observe: Observer, folder: Path) -> KubeCluster:
        made.append(KubeCluster(wish, observe, folder))
        return made[0]

    try:
        with live(Console(stderr=True), quiet=arguments.quiet) as watch:
            proof = prove(
                make,
                plan,
                run_dir=arguments.run_dir,
                secrets=secrets(plan.traffic),
                watch=watch,
                about=about,
                imports=imports,
                tls=tls,
            )
    finally:
        for command in made[0].left if made else ():
            print(f"lameduck: not put back; please run: {command}", file=sys.stderr)
    show(proof, arguments)
    return exit_code(proof, arguments.max_failures)


def plan_of(arguments: argparse.Namespace) -> Plan:
    """Traffic and disruptions that the arguments ask for. Raises `UsageError`."""
    from lameduck.core.plan import Plan

    return Plan(traffic_plan(arguments), disruption_of(arguments), socket_plan(arguments))


def disruption_of(arguments: argparse.Namespace) -> DisruptionPlan:
    """What is done to the workload. Raises `UsageError` for what does not fit together."""
    from lameduck.core.instants import from_seconds
    from lameduck.core.plan import Disruption, DisruptionPlan

    command, waited = arguments.disrupt_command, arguments.wait_rollouts
    deadline = from_seconds(600.0 if arguments.deadline is None else arguments.deadline)
    if arguments.rollouts < 0 or (waited is not None and waited < 0):
        raise UsageError("--rollouts is 0 (a control run) or more")
    if command:
        if arguments.disrupt or waited is not None:
            raise UsageError("--disrupt-command is the disruption: leave --disrupt and --wait-rollouts out")
        return DisruptionPlan(Disruption.COMMAND, arguments.rollouts, deadline, command)
    try:
        kind = Disruption(arguments.disrupt or "rollout")
    except ValueError:
        kinds = "rollout, scale, delete, evict, drain, kill, none"
        raise UsageError(f"--disrupt is one of {kinds}, not '{arguments.disrupt}'") from None
    if kind is Disruption.COMMAND:
        raise UsageError("say which: --disrupt-command 'helm upgrade ...'")
    if not kind.ends_pods:
        raise UsageError(f"--disrupt {kind.value} is for pods of this machine: --local")
    if kind is not Disruption.NONE and waited is not None:
        raise UsageError("--wait-rollouts watches what others do: it goes with --disrupt none")
    return DisruptionPlan(kind, (waited or 0) if kind is Disruption.NONE else arguments.rollouts, deadline)


def wish_of(arguments: argparse.Namespace) -> Wish:
    """The workload and the way to it. Raises `UsageError` and `EnvironmentFault`."""
    from lameduck.kube.cluster import Wish
    from lameduck.kube.connect import find_context

    context = find_context(arguments.kubeconfig, arguments.context, arguments.namespace)
    return Wish(
        context,
        target_of(arguments, context),
        disruption_of(arguments),
        arguments.service,
        arguments.service_port,
        arguments.host,
        way_of(arguments.load_from),
        agents_of(arguments),
        arguments.listener_probe,
        arguments.look_inside,
    )


def agents_of(arguments: argparse.Namespace) -> AgentsWish | None:
    """The agents that are wanted. Raises `EnvironmentFault` without an image for them."""
    from lameduck.core.instants import SECOND
    from lameduck.kube.agents import BUILD, AgentsWish

    if arguments.load_from != "cluster":
        return None
    if not arguments.agent_image:
        raise EnvironmentFault(f"--load-from cluster needs the agents' image: {BUILD}")
    plan = plan_of(arguments)
    longest = plan.traffic.duration + (plan.disruption.times + 1) * plan.disruption.deadline + 600 * SECOND
    return AgentsWish(arguments.agents, arguments.agent_image, longest)


def target_of(arguments: argparse.Namespace, context: Context) -> Target:
    """TYPE/NAME, TYPE NAME, or the one workload with the labels. Raises `UsageError` and `EnvironmentFault`."""
    import asyncio

    from lameduck.kube.preflight import find
    from lameduck.kube.workload import parse_target

    words = arguments.command
    if arguments.selector:
        if len(words) > 1 or (words and "/" in words[0]):
            raise UsageError("name the workload, or choose it with -l, not both")
        return asyncio.run(find(context, words[0] if words else "", arguments.selector))
    if len(words) == 2 and "/" not in words[0]:
        words = ["/".join(words)]
    if len(words) != 1:
        raise UsageError("name one workload, such as deployment/shop; or say --local -- CMD to prove on this machine")
    return parse_target(words[0], context.namespace)


def way_of(text: str) -> Way:
    """Where the load goes. Raises `UsageError`."""
    from lameduck.cli.load import parse_url
    from lameduck.kube.here import Way

    if text in {"here", "cluster"}:
        return Way()
    if "://" not in text:
        raise UsageError(f"--load-from is cluster, here or a URL such as https://shop.example, not '{text}'")
    url = parse_url(text)
    if url.path != "/":
        raise UsageError(f"--load-from takes no path: say --path {url.path}")
    return Way(url.host, url.port, url.secure, "ingress")


def tls_of(arguments: argparse.Namespace, wish: Wish) -> Tls | None:
    """How a server behind an https:// URL is trusted. Raises `UsageError` and `EnvironmentFault`."""
    from lameduck.load.crew import TlsOptions
    from lameduck.proving import Tls

    if not wish.way.secure:
        asked = next((o for o in ("cacert", "insecure", "server_name") if getattr(arguments, o)), "")
        if asked:
            raise UsageError(f"--{asked.replace('_', '-')} needs --load-from https://...")
        return None
    options = TlsOptions(arguments.cacert, arguments.insecure)
    name = arguments.server_name or arguments.host.partition(":")[0] or wish.way.host
    return Tls(options.context(), name)


def confirm(wish: Wish, plan: Plan, *, yes: bool, trusted: Sequence[str] = ()) -> None:
    """Ask before a cluster that is not plainly a developer's own. Raises `UsageError` without a yes."""
    if yes or wish.context.local or wish.context.name in trusted:
        return
    what = f"{doing(plan, str(wish.target))} in {wish.target.namespace}"
    where = f"context {wish.context.name} ({wish.context.server})"
    if not sys.stdin.isatty():
        raise UsageError(f"this would {what}, {where}: say --yes if that is meant")
    print(f"This will {what}, under {plan.traffic.rate:g} requests per second, in {where}.", file=sys.stderr)
    print("Go on? [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
        raise UsageError("nothing was touched")


def doing(plan: Plan, what: str) -> str:
    """The disruptions of ``what`` in words."""
    from lameduck.core.plan import Disruption

    kind, times = plan.disruption.kind, plan.disruption.times
    if not times:
        return f"only send load to {what}"
    words = {
        Disruption.ROLLOUT: f"restart {what}",
        Disruption.SCALE: f"scale {what} down and up",
        Disruption.DELETE: f"delete a pod of {what}",
        Disruption.EVICT: f"evict a pod of {what}",
        Disruption.DRAIN: f"drain a node of {what}",
        Disruption.KILL: f"kill a pod of {what} without grace",
        Disruption.COMMAND: f"run '{plan.disruption.command}' for {what}",
        Disruption.NONE: f"watch what others roll out of {what}",
    }
    return f"{words[kind]} {times} times" if times > 1 else f"{words[kind]} once"


def dry_run(plan: Plan, wish: Wish) -> int:
    """Preflight, and what would be done."""
    import asyncio

    from lameduck.kube.api import Api
    from lameduck.kube.preflight import check

    async def look() -> Checked:
        api = Api(wish.context)
        try:
            kind, times = plan.disruption.kind, plan.disruption.times
            inside = wish.agents is not None
            return await check(api, wish.target, kind, times, service=wish.service, port=wish.port, agents=inside)
        finally:
            await api.close()

    print(described(asyncio.run(look()), plan, wish))
    return ExitCode.OK


def described(checked: Checked, plan: Plan, wish: Wish) -> str:
    """The plan in words."""
    from lameduck.core.instants import human
    from lameduck.kube.preflight import rights_for, role

    service, traffic = checked.service["metadata"]["name"], plan.traffic
    scheme = "https" if wish.way.secure else "http"
    where = f"{scheme}://{wish.way.authority}" if wish.way.host else f"Service {service}:{checked.port['port']}"
    lanes = ", ".join(f"{lane.value} {share:.0%}" for lane, share in traffic.lanes)
    shape, disruption = checked.shape, plan.disruption
    whence = f"{wish.agents.count} agents ({wish.agents.image})" if wish.agents else "here"
    lines = [
        f"context    {wish.context.name} ({wish.context.server}, {checked.version})",
        f"workload   {checked.target} in {checked.target.namespace}: {checked.replicas} replicas",
        f"a pod ends grace {human(shape.grace)}, preStop {shape.pre_stop or 'none'}",
        f"disruption {doing(plan, 'it')}, each at most {human(disruption.deadline)}",
        f"load       {traffic.rate:g} requests per second ({lanes}) from {whence} to {where}",
        *(f"note       {note}" for note in checked.notes),
        "",
        "The rights that it takes:",
        role(checked.target, rights_for(checked.target, plan.disruption.kind, agents=wish.agents is not None)),
    ]
    return "\n".join(lines)
