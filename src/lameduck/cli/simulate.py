"""Predict a rollout in virtual time, in under a second: how long each way of traffic goes on sending, and what preStop
would outlast it.

  lameduck simulate --replicas 3 --pre-stop-sleep 1 --via service --via slow-lb:120

The controllers, the kubelet, kube-proxy, the ingress and the load balancer are those of the cluster on this machine;
the app is only assumed: it listens --starts seconds after its start, closes its listener at the stop signal, finishes
what it has in hand, and ends --stops seconds later. So this is a PREDICTION for new connections, not a proof: what
happens to kept-alive connections, and by start scripts, lost signals and short drains, only a proof finds.

exit codes: 0 predicted, 2 usage
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from lameduck.cli.prove_local import int_or_percent, way
from lameduck.core.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from lameduck.core.simulation import App
    from lameduck.local.spec import LocalSpec

WAYS = ("service", "ingress", "slow-lb:120")
MOST_ROLLOUTS = 1000


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    workload = parser.add_argument_group("the workload")
    workload.add_argument("--replicas", type=int, default=3, metavar="N", help="replicas (3)")
    workload.add_argument(
        "--grace", type=float, default=30.0, metavar="SECONDS", help="terminationGracePeriodSeconds (30)"
    )
    hook = workload.add_mutually_exclusive_group()
    hook.add_argument("--pre-stop-sleep", type=int, metavar="SECONDS", help="a preStop hook that sleeps")
    hook.add_argument(
        "--pre-stop-takes", type=float, metavar="SECONDS", help="a preStop hook, exec, that takes so long"
    )
    workload.add_argument("--max-surge", default="25%", metavar="N|P%", help="of the rolling update (25%%)")
    workload.add_argument("--max-unavailable", default="25%", metavar="N|P%", help="of the rolling update (25%%)")
    workload.add_argument("--min-ready-seconds", type=int, default=0, metavar="SECONDS", help="minReadySeconds (0)")
    app = parser.add_argument_group("the app, as it is assumed")
    app.add_argument(
        "--starts", type=float, default=0.1, metavar="SECONDS", help="from its start until it listens (0.1)"
    )
    app.add_argument(
        "--stops", type=float, default=0.1, metavar="SECONDS", help="from the stop signal to its end (0.1)"
    )
    app.add_argument("--deaf", action="store_true", help="the stop signal never reaches it: it serves until SIGKILL")
    traffic = parser.add_argument_group("the traffic")
    traffic.add_argument(
        "--via",
        action="append",
        metavar="WAY",
        help="service, ingress or slow-lb:SECONDS; repeatable (service, ingress and slow-lb:120)",
    )
    traffic.add_argument(
        "--min-sync", type=float, default=1.0, metavar="SECONDS", help="kube-proxy's minSyncPeriod (1)"
    )
    traffic.add_argument("--qps", type=float, default=100.0, metavar="RATE", help="new connections per second (100)")
    parser.add_argument(
        "--rollouts", type=int, default=20, metavar="N", help="rollouts, each at phases of its own (20)"
    )
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="of everything that is drawn (1)")
    parser.add_argument("--json", metavar="FILE", help="write the prediction as JSON; - is standard output")


def run(arguments: argparse.Namespace) -> int:
    """Predict and print."""
    from rich.console import Console

    from lameduck.cli.output import write_json
    from lameduck.local.predicting import predict
    from lameduck.report.prediction import screen

    if not 1 <= arguments.rollouts <= MOST_ROLLOUTS:
        raise UsageError(f"--rollouts is 1 to {MOST_ROLLOUTS}, not {arguments.rollouts}")
    if arguments.qps <= 0:
        raise UsageError(f"--qps is a number above 0, not {arguments.qps:g}")
    ways = [way(text) for text in dict.fromkeys(arguments.via or WAYS)]
    prediction = predict(spec_of(arguments), app_of(arguments), ways, rollouts=arguments.rollouts)
    data = prediction.as_dict(arguments.qps)
    Console(stderr=arguments.json == "-", highlight=False).print(screen(data))
    if arguments.json:
        write_json(data, arguments.json)
    return ExitCode.OK


def spec_of(arguments: argparse.Namespace) -> LocalSpec:
    """The workload that the arguments ask for. Raises `UsageError` for what the API server would refuse."""
    from lameduck.core.instants import from_seconds
    from lameduck.local.spec import LocalSpec

    if arguments.grace < 0:
        raise UsageError("--grace is 0 or more")
    spec = LocalSpec(
        command=(sys.executable,),  # never run
        replicas=arguments.replicas,
        grace=from_seconds(arguments.grace),
        pre_stop_sleep=arguments.pre_stop_sleep,
        pre_stop_exec=("hook",) if arguments.pre_stop_takes is not None else None,
        max_surge=int_or_percent(arguments.max_surge, "--max-surge"),
        max_unavailable=int_or_percent(arguments.max_unavailable, "--max-unavailable"),
        min_ready_seconds=arguments.min_ready_seconds,
        min_sync=from_seconds(arguments.min_sync),
        seed=arguments.seed,
    )
    spec.check()
    return spec


def app_of(arguments: argparse.Namespace) -> App:
    """What is assumed of the app. Raises `UsageError`."""
    from lameduck.core.instants import from_seconds
    from lameduck.core.simulation import App

    for option in ("starts", "stops", "pre_stop_takes"):
        if not 0 <= (getattr(arguments, option) or 0) <= 3600:
            raise UsageError(f"--{option.replace('_', '-')} is 0 to 3600 seconds")
    return App(
        starts=from_seconds(arguments.starts),
        stops=from_seconds(arguments.stops),
        heeds=not arguments.deaf,
        hook=from_seconds(arguments.pre_stop_takes or 0),
    )
