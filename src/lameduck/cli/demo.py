"""The prediction service's story, act by act, from failing to proven.

Each act is a real proof on this machine: a real model served over HTTP by three replicas, 500 requests a second (a
tenth of them batches of about a second), rolled while the load is on. An act shows what was changed since the last
one, the verdict, what was lost and why, and the fix: which is the next act. No cluster, no root, no network; about
two minutes.

With --cluster the story of the framework (light-4j 1.5.14, 1.5.15, a bash script, a trap, a preStop) or that of the
prediction service is played on a real Kubernetes, in a namespace of its own.

exit codes: 0 every act came out as the story says, 1 one did not, 3 one was inconclusive, 4 environment
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lameduck.cli import demo_cluster
from lameduck.core.errors import EnvironmentFault, ExitCode, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from lameduck.core.proof import Proof
    from lameduck.demo.acts import Act
    from lameduck.demo.scenes import Scene


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--act", type=int, action="append", metavar="N", help="play only this act; repeatable")
    parser.add_argument("--list", action="store_true", help="list the acts and stop")
    parser.add_argument("--json", metavar="FILE", help="write every act's proof as JSON; - is standard output")
    parser.add_argument("--quiet", action="store_true", help="no progress, only the results")
    demo_cluster.configure(parser)


def run(arguments: argparse.Namespace) -> int:
    """Play the acts, and say by the exit code whether they came out as the story says."""
    from rich.console import Console

    from lameduck.demo import acts
    from lameduck.report.terminal import comparison

    console = Console(stderr=arguments.json == "-", highlight=False)
    all_acts: Sequence[Act | Scene] = demo_cluster.scenes(arguments) if arguments.cluster else acts.ACTS
    if arguments.list:
        for act in all_acts:
            console.print(f"{act.number}  {act.title}", markup=False)
        return ExitCode.OK
    chosen = _chosen(all_acts, arguments.act)
    played: list[tuple[Act | Scene, Proof]]
    if arguments.cluster:
        played = demo_cluster.play(chosen, arguments, console)
    else:
        played = _play_here(chosen, console, quiet=arguments.quiet)
    console.rule("the story", style="dim")
    console.print(comparison([(f"{act.number}. {act.title}", proof) for act, proof in played]))
    if arguments.json:
        _write(played, arguments.json)
    return _verdict(played, console)


def _play_here(chosen: Sequence[Any], console: Console, *, quiet: bool) -> list[tuple[Act | Scene, Proof]]:
    from lameduck.demo import acts

    if missing := acts.missing():
        what = ", ".join(missing)
        raise EnvironmentFault(f"the demo needs {what}; pip install 'lameduck[demo]' lameduck-pod")
    return [(act, _play(act, console, quiet=quiet)) for act in chosen]


def _chosen(known_acts: Sequence[Act | Scene], numbers: list[int] | None) -> list[Act | Scene]:
    known = {act.number: act for act in known_acts}
    for number in numbers or ():
        if number not in known:
            raise UsageError(f"there is no act {number}; --list shows them")
    return [known[number] for number in numbers] if numbers else list(known_acts)


def _play(act: Act, console: Console, *, quiet: bool) -> Proof:
    """One act: what changed, then the proof and what it says."""
    from lameduck.demo.acts import changes

    announce(act, changes(act), console)
    proof = _prove(act, quiet=quiet)
    conclude(act, proof, console)
    return proof


def announce(act: Act | Scene, diff: str, console: Console) -> None:
    """What is changed now."""
    from rich.syntax import Syntax

    console.rule(f"act {act.number}: {act.title}", style="bold")
    console.print(act.change, markup=False)
    if diff:
        console.print(Syntax(diff.rstrip("\n"), "diff", theme="ansi_dark", background_color="default"))


def conclude(act: Act | Scene, proof: Proof, console: Console) -> None:
    """What came of it, and whether that is what the story says."""
    from lameduck.report.terminal import brief

    console.print(brief(proof))
    console.print(act.outcome, style="italic", markup=False)
    if wrong := unexpected(act, proof):
        console.print(f"not as the story says: {wrong}", style="bold yellow", markup=False)
    console.print()


def _prove(act: Act, *, quiet: bool) -> Proof:
    from dataclasses import replace

    from rich.console import Console

    from lameduck.cli.live import live
    from lameduck.core.instants import SECOND
    from lameduck.core.plan import DisruptionPlan, Plan
    from lameduck.demo.acts import PORT, READY_PATH, environment, traffic
    from lameduck.local.cluster import LocalCluster
    from lameduck.local.spec import LocalSpec
    from lameduck.proving import prove

    spec = LocalSpec(
        command=act.command,
        replicas=act.replicas,
        port=PORT,
        ready_path=READY_PATH,
        grace=act.grace_seconds * SECOND,
        pre_stop_sleep=act.pre_stop_sleep_seconds or None,
        env=environment(act),
    )

    def cluster(observe: Any, folder: Path) -> LocalCluster:
        return LocalCluster(replace(spec, run_dir=folder), observe)

    with live(Console(stderr=True), quiet=quiet) as watch:
        plan = Plan(traffic(), DisruptionPlan(times=act.rollouts))
        return prove(cluster, plan, watch=watch, about={"command": f"lameduck demo --act {act.number}"})


def unexpected(act: Act | Scene, proof: Proof) -> str:
    """How a proof differs from what the story says of its act, in words; "" if it does not."""
    expected = act.expected
    if proof.verdict is not expected.verdict:
        return f"{proof.verdict.value} instead of {expected.verdict.value}"
    symptoms = {finding.symptom for finding in proof.findings}
    defects = {finding.defect.code for finding in proof.findings}
    absent = sorted((expected.symptoms - symptoms) | (expected.defects - defects))
    return f"{', '.join(absent)} not found" if absent else ""


def _verdict(played: Sequence[tuple[Act | Scene, Proof]], console: Console) -> int:
    from lameduck.core.proof import Verdict

    if any(proof.verdict is Verdict.INCONCLUSIVE for _, proof in played):
        console.print("an act was inconclusive: the machine was too busy; play it again", style="yellow")
        return ExitCode.INCONCLUSIVE
    return ExitCode.FAILED if any(unexpected(act, proof) for act, proof in played) else ExitCode.OK


def _write(played: Sequence[tuple[Act | Scene, Proof]], where: str) -> None:
    from lameduck.cli.output import write_json

    told = [
        {"act": act.number, "title": act.title, "as_told": not unexpected(act, proof), "proof": proof.as_dict()}
        for act, proof in played
    ]
    write_json({"schema": "lameduck.demo/1", "acts": told}, where)
