"""Set two kept runs side by side: is B worse than A beyond noise?

  lameduck compare 20260101 last
  lameduck compare before/ after/ --format markdown

exit codes: 0 B is not worse; 1 B is worse beyond noise; 2 no such run
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from lameduck.core.errors import ExitCode

if TYPE_CHECKING:
    from lameduck.report.compare import Comparison

FORMATS = ("terminal", "markdown", "html", "json")


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("first", metavar="A", help="path, name or 'last'")
    parser.add_argument("second", metavar="B", help="path, name or 'last'")
    parser.add_argument("--format", choices=FORMATS, default="terminal", help="how to show it (terminal)")
    parser.add_argument("-o", "--output", metavar="FILE", default="-", help="write there; - is standard output")


def run(arguments: argparse.Namespace) -> int:
    """Compare, show, and say by the exit code whether B is worse."""
    from lameduck.cli.output import write
    from lameduck.cli.stored import find_run, load
    from lameduck.report.compare import compare

    told = compare(load(arguments.first), load(arguments.second))
    names = find_run(arguments.first).name, find_run(arguments.second).name
    if arguments.format == "terminal" and arguments.output == "-":
        from rich.console import Console

        from lameduck.report.compare_text import terminal

        Console(highlight=False).print(terminal(told, *names))
    else:
        write(_rendered(arguments.format, told, names), arguments.output)
    return ExitCode.FAILED if told.worse else ExitCode.OK


def _rendered(how: str, told: Comparison, names: tuple[str, str]) -> str:
    import json
    from io import StringIO

    from rich.console import Console

    from lameduck.report import compare_text

    if how == "json":
        return json.dumps(told.as_dict(), indent=2, ensure_ascii=False) + "\n"
    if how == "markdown":
        return compare_text.markdown(told, *names)
    if how == "html":
        return compare_text.page(told, *names)
    out = StringIO()
    Console(file=out, width=120, highlight=False).print(compare_text.terminal(told, *names))
    return out.getvalue()
