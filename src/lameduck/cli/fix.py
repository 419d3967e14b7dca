"""Mend what lint finds: show the diff, or write it.

lameduck fix                     what would change, as a diff that git and patch can apply
lameduck fix --write             the safe fixes, into the files
lameduck fix --write --unsafe    also those that need a person's judgement: look at the diff first
lameduck fix - < web.yaml        mended manifests on standard output
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from lameduck.cli.lint_options import choice_of, common, settings_of
from lameduck.core.errors import EnvironmentFault, ExitCode

if TYPE_CHECKING:
    from lameduck.defects.fixing import Mended


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    common(parser)
    how = parser.add_mutually_exclusive_group()
    how.add_argument(
        "--diff",
        action="store_true",
        help=("print a diff and write nothing (the default); exits with 1 if there is one"),
    )
    how.add_argument("--write", action="store_true", help="change the files")
    parser.add_argument("--unsafe", action="store_true", help="also apply fixes that need a person's judgement")


def run(arguments: argparse.Namespace) -> int:
    """Mend, show or write, and say what was left."""
    from lameduck.cli.inputs import load
    from lameduck.defects.fixing import Mender, Wanted

    inputs = load(arguments.paths)
    wanted = Wanted(arguments.unsafe, choice_of(arguments))
    mended = Mender(inputs.texts, inputs.read, settings_of(arguments), wanted).run()
    if arguments.write:
        _write(mended)
    elif arguments.paths == ["-"] and not arguments.diff:
        sys.stdout.write(mended.texts["-"].content)
    else:
        _show(mended)
    _say(mended, written=arguments.write, unsafe=arguments.unsafe)
    if arguments.write or (arguments.paths == ["-"] and not arguments.diff):
        return _left(mended)
    return ExitCode.FAILED if mended.changed else ExitCode.OK


def _show(mended: Mended) -> None:
    from lameduck.manifests.text import diff

    for path in mended.changed:
        sys.stdout.write(diff(path, mended.before[path], mended.texts[path].content))


def _write(mended: Mended) -> None:
    from pathlib import Path

    for path in mended.changed:
        if path == "-":
            sys.stdout.write(mended.texts[path].content)
            continue
        try:
            Path(path).write_bytes(mended.texts[path].content.encode())
        except OSError as error:
            raise EnvironmentFault(f"cannot write {path}: {error.strerror}") from error


def _say(mended: Mended, *, written: bool, unsafe: bool) -> None:
    """One line for each fix, and what could not be mended, on standard error."""
    from lameduck.core.finding import Safety
    from lameduck.defects.linting import place_of

    for one in mended.applied:
        place = place_of(one)
        done = "mended" if written else "would mend"
        title = one.fix.title if one.fix else ""
        print(f"{done} {one.defect.code} at {place.file}:{place.line}: {title}", file=sys.stderr)
    for one, reason in mended.refused:
        place = place_of(one)
        print(f"not mended: {one.defect.code} at {place.file}:{place.line}: {reason}", file=sys.stderr)
    waiting = [
        one for one in mended.left.findings if one.fix and one.fix.safety is Safety.UNSAFE and one.fix.patches[0].edits
    ]
    if waiting and not unsafe:
        places = ", ".join(f"{one.defect.code} at {place_of(one).file}:{place_of(one).line}" for one in waiting[:5])
        print(f"{len(waiting)} more with --unsafe: {places}", file=sys.stderr)
    if not mended.applied and not waiting and not mended.refused:
        print("nothing to mend", file=sys.stderr)


def _left(mended: Mended) -> int:
    from lameduck.core.finding import Severity
    from lameduck.defects.linting import severity_of

    bad = any(severity_of(one) is not Severity.INFO for one in mended.left.findings)
    return ExitCode.FAILED if bad else ExitCode.OK
