"""The stories on a real cluster: ``lameduck demo --cluster``.

Law: a namespace of its own, gone at the end; a context that is not plainly a developer's own is touched only after a
yes; it is played where the Service's address can be reached (on a node).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lameduck.core.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from lameduck.core.proof import Proof
    from lameduck.demo.acts import Act
    from lameduck.demo.scenes import Scene
    from lameduck.kube.connect import Context


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options of a real cluster."""
    add = parser.add_argument_group("a real cluster").add_argument
    add("--cluster", action="store_true", help="play on the cluster of the kubeconfig, in a namespace of its own")
    add(
        "--story",
        choices=("light4j", "prediction"),
        default="light4j",
        help="with --cluster: light4j (default) or prediction",
    )
    add("--images", default="", metavar="PREFIX", help="put in front of each image's name: registry.example/team/")
    add("--context", default="", metavar="NAME", help="of the kubeconfig (its current one)")
    add("--kubeconfig", default="", metavar="FILE", help="$KUBECONFIG, ~/.kube/config")
    add("--yes", action="store_true", help="do not ask before touching a cluster")


def scenes(arguments: argparse.Namespace) -> tuple[Scene, ...]:
    """The scenes of the story that was asked for."""
    from lameduck.demo import scenes as told

    return told.scenes(arguments.story, arguments.images)


def context_of(arguments: argparse.Namespace) -> Context:
    """Where to play. Raises `UsageError` without a yes, and what `find_context` raises."""
    from lameduck.kube.connect import find_context

    context = find_context(arguments.kubeconfig, arguments.context)
    if arguments.yes or context.local:
        return context
    what = f"make a namespace in context {context.name} ({context.server}) and play under 500 requests per second"
    if not sys.stdin.isatty():
        raise UsageError(f"this would {what}: say --yes if that is meant")
    print(f"This will {what}. Go on? [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
        raise UsageError("nothing was touched")
    return context


def play(chosen: Sequence[Any], arguments: argparse.Namespace, console: Console) -> list[tuple[Act | Scene, Proof]]:
    """The scenes, one after the other; Ctrl-C ends the story with what has been played."""
    from lameduck.proving import run_loop

    return run_loop(_play(chosen, context_of(arguments), console, quiet=arguments.quiet))


async def _play(
    chosen: Sequence[Scene], context: Context, console: Console, *, quiet: bool
) -> list[tuple[Act | Scene, Proof]]:
    from lameduck.cli.demo import announce, conclude
    from lameduck.demo.stage import namespace

    played: list[tuple[Act | Scene, Proof]] = []
    async with namespace(context) as where:
        for scene in chosen:
            announce(scene, scene.diff, console)
            proof = await _prove(scene, context, where, quiet=quiet)
            conclude(scene, proof, console)
            played.append((scene, proof))
            if proof.run.get("interrupted"):
                break
    return played


async def _prove(scene: Scene, context: Context, where: str, *, quiet: bool) -> Proof:
    from rich.console import Console

    from lameduck.cli.live import live
    from lameduck.core.plan import DisruptionPlan, Plan
    from lameduck.demo.stage import on_stage
    from lameduck.kube.cluster import KubeCluster, Wish
    from lameduck.kube.workload import Target
    from lameduck.proving import prove_async

    plan = Plan(scene.traffic, DisruptionPlan(times=scene.rollouts))
    async with on_stage(context, where, scene) as name:
        wish = Wish(context, Target("deployments", name, where), plan.disruption, look_inside=True)
        with live(Console(stderr=True), quiet=quiet) as watch:
            about = {"command": f"lameduck demo --cluster --act {scene.number}"}
            return await prove_async(
                lambda observe, folder: KubeCluster(wish, observe, folder), plan, watch=watch, about=about
            )
