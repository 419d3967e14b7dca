"""Prove that a rollout loses no request: load, rollouts and observation, then a verdict with its causes and fixes.

  lameduck prove --local --qps 500 --rollouts 3 --path /v2/health/ready -- python -m myservice

starts three replicas of the command in sandboxes of their own on this machine (a Deployment, a Service and a kubelet
over real processes; no cluster, no root), sends 500 requests a second on new and on kept-alive connections, rolls it
three times, and says whether anything was lost, why, and what mends it.

  helm template . | lameduck prove --local -f - --dockerfile Dockerfile --verify-fix

does the same with a manifest's Deployment, StatefulSet or DaemonSet behind its Service, then mends the manifest and
proves again.

exit codes: 0 proven, 1 failed, 2 usage, 3 inconclusive, 4 environment, 130 interrupted
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from lameduck.cli import bring, prove_kube, prove_local
from lameduck.cli.traffic import add_socket_options, add_traffic_options
from lameduck.core.errors import ExitCode

if TYPE_CHECKING:
    from lameduck.core.proof import Proof


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "command",
        nargs="*",
        metavar="TYPE/NAME | -- CMD",
        help="the workload, on a cluster or in the files of -f; what a pod runs, after --; {port} is replaced",
    )
    parser.add_argument("--local", action="store_true", help="prove on this machine, without a cluster")
    parser.add_argument("--rollouts", type=int, default=3, metavar="N", help="rolling updates; 0 is a control run (3)")
    parser.add_argument(
        "--max-failures", type=int, default=0, metavar="N", help="exit 0 up to N lost requests; the verdict stays"
    )
    add_traffic_options(parser)
    add_socket_options(parser)
    bring.configure(parser)
    prove_local.configure(parser)
    prove_kube.configure(parser)
    output = parser.add_argument_group("output")
    output.add_argument("--json", metavar="FILE", help="write the proof as JSON; - is standard output")
    output.add_argument(
        "-o", "--output", choices=("json", "yaml"), help="the proof on standard output, as kubectl prints objects"
    )
    output.add_argument("--run-dir", type=Path, metavar="DIR", help="keep the run there")
    output.add_argument("--quiet", action="store_true", help="no progress, only the result")


def run(arguments: argparse.Namespace) -> int:
    """Prove, print, and say by the exit code what came of it."""
    return prove_local.run(arguments) if arguments.local else prove_kube.run(arguments)


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
