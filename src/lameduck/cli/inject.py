"""Put the complete safe set into manifests: preStop, grace period, rolling update, disruption budget.

kubectl get deploy -o yaml | lameduck inject - | kubectl apply -f - lameduck inject web.yaml > safe.yaml lameduck
inject --sidecar registry.example/lameduck-pod:1 web.yaml with the drain that leaves when traffic is gone
"""

from __future__ import annotations

import argparse
import sys

from lameduck.cli.lint_options import PATHS, settings_of
from lameduck.core.errors import ExitCode, UsageError


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("paths", nargs="*", metavar="FILE", help="manifests, or - for standard input (default: -)")
    parser.add_argument("--kubernetes-version", metavar="X.Y", help="what this version has (default: a recent one)")
    parser.add_argument("--traffic-path", choices=PATHS, default="in-cluster", help="decides the delay")
    parser.add_argument("--pre-stop-seconds", type=int, metavar="N", help="the delay (default: the path's own)")
    parser.add_argument(
        "--sidecar", metavar="IMAGE", help="an image of lameduck-pod: the adaptive drain in place of a sleep"
    )
    parser.add_argument("--token", help="the sidecar's token (default: a new one)")
    parser.set_defaults(max_request_seconds=None, stop_signal_gate=False)


def run(arguments: argparse.Namespace) -> int:
    """Read, put in, write to standard output."""
    import secrets

    from lameduck.cli.inputs import load
    from lameduck.defects.injecting import inject
    from lameduck.defects.snippets import Sidecar
    from lameduck.manifests.project import Project

    inputs = load(arguments.paths or ["-"])
    project = Project(inputs.texts, inputs.read, settings_of(arguments))
    if project.templates:
        raise UsageError(
            f"{project.templates[0]} is a template; inject what it renders: helm template . | lameduck inject -"
        )
    if project.faults:
        fault = project.faults[0]
        line = fault.text.line_of(fault.offset)
        raise UsageError(f"{fault.text.path}:{line}: cannot be read: {fault.problem}; nothing was written")
    sidecar = Sidecar(arguments.sidecar, arguments.token or secrets.token_hex(16)) if arguments.sidecar else None
    for index, text in enumerate(inputs.texts):
        result = inject(project, text, sidecar)
        if index and not result.text.startswith("---"):
            sys.stdout.write("---\n")
        sys.stdout.write(result.text if result.text.endswith("\n") else result.text + text.eol)
        for title in result.done:
            print(f"injected into {title}", file=sys.stderr)
        for reason in result.refused:
            print(f"left as it is: {reason}", file=sys.stderr)
    return ExitCode.OK
