"""Find what makes a rollout lose requests, in manifests, Dockerfiles and start scripts.

lameduck lint                          this folder
lameduck lint deploy/ Dockerfile       files and folders, joined: what only together decides is seen
helm template . | lameduck lint -      what a chart renders
kustomize build . | lameduck lint -    what a kustomization builds
lameduck lint --live -n shop           what a cluster holds, for the version it has
"""

from __future__ import annotations

import argparse
import gc
import sys
from typing import TYPE_CHECKING

from lameduck.cli.lint_options import choice_of, common, settings_of
from lameduck.core.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from lameduck.cli.inputs import Inputs
    from lameduck.defects.linting import Outcome
    from lameduck.manifests.project import Project

FORMATS = ("human", "concise", "json", "sarif", "junit", "github", "markdown")


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    common(parser)
    live = parser.add_argument_group("a live cluster")
    live.add_argument("--live", action="store_true", help="lint what a cluster holds, and the files that are named")
    live.add_argument("-n", "--namespace", default="", metavar="NS", help="whose objects (the context's)")
    live.add_argument("-A", "--all-namespaces", action="store_true", help="the objects of all namespaces")
    live.add_argument("--context", default="", metavar="NAME", help="of the kubeconfig (its current one)")
    live.add_argument("--kubeconfig", default="", metavar="FILE", help="$KUBECONFIG, ~/.kube/config")
    out = parser.add_argument_group("output")
    out.add_argument(
        "--format",
        action="append",
        default=[],
        metavar="FORMAT[=FILE]",
        help=f"{', '.join(FORMATS)}; again for several, each with its file (default: human)",
    )
    out.add_argument("--json", metavar="FILE", help="the findings as JSON, to a file or to - for standard output")
    out.add_argument("--output-file", metavar="FILE", help="where the report goes (default: standard output)")
    out.add_argument(
        "--explain-chain", action="store_true", help="print the way of the stop signal from PID 1 to the server"
    )
    out.add_argument("--colour", "--color", choices=("auto", "always", "never"), default="auto", help=argparse.SUPPRESS)
    ends = parser.add_argument_group("exit code")
    ends.add_argument(
        "--fail-on",
        choices=("error", "warning", "info", "never"),
        default="warning",
        help="the least severity that exits with 1 (default: warning)",
    )
    ends.add_argument("--exit-zero", action="store_true", help="exit with 0 whatever is found")
    base = parser.add_argument_group("baseline")
    base.add_argument("--baseline", metavar="FILE", help="leave out what this file lists: only new findings count")
    base.add_argument("--write-baseline", metavar="FILE", help="write what is found now into a baseline file")


def run(arguments: argparse.Namespace) -> int:
    """Lint and report."""
    gc.disable()  # a short life among a million nodes without cycles: collecting takes longer than all the rest
    try:
        return _run(arguments)
    finally:
        gc.enable()


def _run(arguments: argparse.Namespace) -> int:
    from lameduck.cli.inputs import load
    from lameduck.defects.linting import lint
    from lameduck.manifests.project import Project

    formats = _formats(arguments)
    inputs = load(arguments.paths, everything=not arguments.live)
    if arguments.live:
        from lameduck.cli.lint_live import add_objects

        add_objects(inputs, arguments)
    elif arguments.namespace or arguments.all_namespaces or arguments.context or arguments.kubeconfig:
        raise UsageError("--namespace, --context and --kubeconfig are for --live")
    project = Project(inputs.texts, inputs.read, settings_of(arguments))
    if arguments.explain_chain:
        from lameduck.report.lint_text import chains

        sys.stdout.write(chains(project.programs, colour=_colour(arguments)) or "nothing starts in this input\n")
        return ExitCode.OK
    outcome = lint(project, choice_of(arguments))
    if arguments.write_baseline:
        return _write_baseline(arguments.write_baseline, outcome, inputs)
    if arguments.baseline:
        _without_known(arguments.baseline, outcome, inputs)
    generated = {text.path: text for text in inputs.texts if text.path == "-" or text.path in inputs.generated}
    if generated:
        from lameduck.defects.patching import as_patches

        as_patches(outcome, generated)
    notes = notes_of(project, inputs)
    for name, file in formats:
        _emit(name, file, arguments, outcome, inputs, notes)
    if formats[0][0] != "human":
        for note in notes:
            print(f"lameduck: {note}", file=sys.stderr)
    return _exit(arguments, outcome)


def _formats(arguments: argparse.Namespace) -> list[tuple[str, str]]:
    """The formats with their files, "" for standard output. Raises `UsageError`."""
    found: list[tuple[str, str]] = []
    for given in arguments.format:
        name, _, file = given.partition("=")
        if name not in FORMATS:
            from difflib import get_close_matches

            near = get_close_matches(name, FORMATS, n=1)
            hint = f"; did you mean '{near[0]}'?" if near else f"; there are {', '.join(FORMATS)}"
            raise UsageError(f"there is no format '{name}'{hint}")
        found.append((name, file or (arguments.output_file or "")))
    if arguments.json:
        found.append(("json", "" if arguments.json == "-" else arguments.json))
    if not found or (arguments.json and arguments.json != "-" and not arguments.format):
        found.insert(0, ("human", arguments.output_file or ""))
    if sum(not file for _, file in found) > 1:
        raise UsageError("several formats cannot share standard output: give a file as --format NAME=FILE")
    return found


def _emit(
    name: str, file: str, arguments: argparse.Namespace, outcome: Outcome, inputs: Inputs, notes: list[str]
) -> None:
    from pathlib import Path

    from lameduck.core.errors import EnvironmentFault

    content = _render(name, outcome, inputs, notes, colour=not file and _colour(arguments))
    if not file:
        sys.stdout.write(content)
        return
    try:
        Path(file).write_text(content, encoding="utf-8")
    except OSError as error:
        raise EnvironmentFault(f"cannot write {file}: {error.strerror}") from error


def _render(name: str, outcome: Outcome, inputs: Inputs, notes: list[str], *, colour: bool) -> str:
    if name == "human":
        from lameduck.report.lint_text import human

        return human(outcome, inputs.read, colour=colour, notes=notes)
    if name == "concise":
        from lameduck.report.lint_text import concise

        return concise(outcome)
    if name == "sarif":
        from lameduck.report.sarif import sarif

        return sarif(outcome, inputs.read)
    from lameduck.report import lint_formats

    if name == "junit":
        return lint_formats.junit(outcome, [text.path for text in inputs.texts])
    renderers = {"json": lint_formats.as_json, "github": lint_formats.github, "markdown": lint_formats.markdown}
    return renderers[name](outcome)


def notes_of(project: Project, inputs: Inputs) -> list[str]:
    """What the user should know about what was not checked."""
    notes = []
    if project.templates:
        first = project.templates[0]
        others = f" and {len(project.templates) - 1} more" if len(project.templates) > 1 else ""
        notes.append(
            f"{first}{others}: a template, not checked; lint what it renders: helm template . | lameduck lint -"
        )
    if project.kustomizations and project.patched:
        notes.append(
            f"{project.kustomizations[0]}: patches are not applied "
            "here; see the result: kustomize build . | lameduck lint -"
        )
    notes += inputs.notes
    notes += [f"{path}: not checked: {reason}" for path, reason in inputs.unreadable]
    if not inputs.texts and not inputs.notes:
        notes.append("no manifest, Dockerfile or script was found")
    return notes


def _colour(arguments: argparse.Namespace) -> bool:
    import os

    if arguments.colour != "auto":
        return bool(arguments.colour == "always")
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _exit(arguments: argparse.Namespace, outcome: Outcome) -> int:
    from lameduck.core.finding import Severity
    from lameduck.defects.linting import SEVERITIES, severity_of

    if arguments.exit_zero or arguments.fail_on == "never":
        return ExitCode.OK
    least = SEVERITIES[Severity(arguments.fail_on)]
    return ExitCode.FAILED if any(SEVERITIES[severity_of(one)] >= least for one in outcome.findings) else ExitCode.OK


def _write_baseline(file: str, outcome: Outcome, inputs: Inputs) -> int:
    from lameduck.cli.output import write_json
    from lameduck.report.sarif import fingerprint

    known = sorted(fingerprint(one, inputs.read) for one in outcome.findings)
    write_json({"version": 1, "findings": known}, file)
    print(f"lameduck: {len(known)} findings written to {file}", file=sys.stderr)
    return ExitCode.OK


def _without_known(file: str, outcome: Outcome, inputs: Inputs) -> None:
    """Take out what the baseline lists, each as often as it is listed. Raises `UsageError`."""
    import json
    from collections import Counter
    from pathlib import Path

    from lameduck.report.sarif import fingerprint

    try:
        known = Counter(json.loads(Path(file).read_text())["findings"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{file} is not a baseline file; lameduck lint --write-baseline {file} makes one") from error
    kept = []
    for one in outcome.findings:
        name = fingerprint(one, inputs.read)
        if known[name] > 0:
            known[name] -= 1
            outcome.suppressed += 1
        else:
            kept.append(one)
    outcome.findings[:] = kept
