"""Put back what a proof changed and could not put back itself: replicas, cordons, agents, after a crash.

exit codes: 0 nothing is left to put back, 4 something is (its command is printed)
"""

from __future__ import annotations

import argparse
import asyncio
import sys

from lameduck.core.errors import ExitCode, LameduckError


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--dry-run", action="store_true", help="only print the commands")


def run(arguments: argparse.Namespace) -> int:
    """Work off every ledger whose process is gone."""
    from lameduck.kube.restoring import left_behind

    left: list[str] = []
    for ledger, pid in list(left_behind()):
        commands = [debt.command for debt in ledger.debts]
        if arguments.dry_run:
            print("\n".join(commands))
            continue
        failed = asyncio.run(_settle(ledger))
        for command in commands:
            if command not in failed:
                print(f"put back (of process {pid}): {command}")
        left += failed
    for command in left:
        print(f"lameduck: not put back; please run: {command}", file=sys.stderr)
    return ExitCode.ENVIRONMENT if left else ExitCode.OK


async def _settle(ledger: object) -> list[str]:
    from lameduck.kube.api import Api
    from lameduck.kube.connect import find_context
    from lameduck.kube.restoring import Ledger

    assert isinstance(ledger, Ledger)
    first = ledger.debts[0]
    try:
        api = Api(find_context(first.kubeconfig, first.context, first.namespace))
    except LameduckError as error:
        print(f"lameduck: {error}", file=sys.stderr)
        return [debt.command for debt in ledger.debts]
    try:
        return await ledger.settle(api)
    finally:
        await api.close()
