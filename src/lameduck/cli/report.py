"""Render a kept run again, in any format; RUN is a path, a name that 'lameduck runs' lists, or 'last'.

  lameduck report last --open                 the HTML report, in the browser
  lameduck report last --format markdown      for a pull request
  lameduck report RUN --format parquet -o exchanges.parquet

exit codes: 0 rendered, whatever the verdict; 2 no such run; 4 cannot write
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from lameduck.cli.output import write
from lameduck.core.errors import EnvironmentFault, ExitCode, UsageError

if TYPE_CHECKING:
    from lameduck.core.run import Run
    from lameduck.defects.judge import Judgement

Rendering = Callable[["Run", "Judgement"], str | bytes]


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("which", nargs="?", default="last", metavar="RUN", help="path, name or 'last' (last)")
    parser.add_argument("--format", choices=("terminal", *RENDERINGS), help="terminal; html where -o or --open says so")
    parser.add_argument("-o", "--output", metavar="FILE", help="write there; - is standard output")
    parser.add_argument("--open", action="store_true", help="open the HTML report in the browser")


def run(arguments: argparse.Namespace) -> int:
    """Render the run."""
    from lameduck.cli.stored import find_run, load

    wanted = arguments.format or _guess(arguments)
    if arguments.open and wanted != "html":
        raise UsageError(f"--open shows the HTML report, and --format asks for {wanted}")
    stored, judgement = load(arguments.which)
    if wanted == "terminal":
        return _terminal(stored, judgement, arguments.output)
    where = arguments.output or ("-" if not arguments.open else str(_folder(find_run(arguments.which)) / "report.html"))
    write(RENDERINGS[wanted](stored, judgement), where)
    if arguments.open:
        _browse(Path(where))
    return ExitCode.OK


def _guess(arguments: argparse.Namespace) -> str:
    """The format that a file's name or ``--open`` asks for."""
    if arguments.open:
        return "html"
    suffix = Path(arguments.output or "").suffix.removeprefix(".").lower()
    known = {"htm": "html", "md": "markdown", "xml": "junit", "prom": "openmetrics", "txt": "terminal", "": "terminal"}
    guess = known.get(suffix, suffix)
    if guess != "terminal" and guess not in RENDERINGS:
        raise UsageError(f"no format goes by the name .{suffix}; say --format")
    return guess


def _folder(path: Path) -> Path:
    return path if path.is_dir() else path.parent


def _terminal(stored: Run, judgement: Judgement, where: str | None) -> int:
    from io import StringIO

    from rich.console import Console

    from lameduck.report.picture import picture
    from lameduck.report.terminal import screen
    from lameduck.report.timeline_text import bin_for, timeline

    to_file = where not in {None, "-"}
    out = StringIO()
    console = Console(file=out, width=100, highlight=False) if to_file else Console(highlight=False)
    console.print(screen(judgement.proof))
    column = bin_for(stored.load_ended - stored.load_started, console.width)
    console.print(timeline(picture(stored, judgement, column), console.width))
    if where and to_file:
        write(out.getvalue(), where)
    return ExitCode.OK


def _browse(page: Path) -> None:
    import webbrowser

    if not webbrowser.open(page.resolve().as_uri()):
        raise EnvironmentFault(f"no browser could be started; the report is {page.resolve()}")


def _json(_: Run, judgement: Judgement) -> str:
    import json

    return json.dumps(judgement.proof.as_dict(), indent=2, ensure_ascii=False) + "\n"


def _junit(stored: Run, judgement: Judgement) -> str:
    from lameduck.report.junit import junit
    from lameduck.report.picture import picture

    return junit(judgement.proof, picture(stored, judgement))


def _markdown(stored: Run, judgement: Judgement) -> str:
    from lameduck.report.markdown import markdown

    return markdown(judgement.proof, stored.facts.name)


def _openmetrics(stored: Run, judgement: Judgement) -> str:
    from lameduck.report.openmetrics import openmetrics

    return openmetrics(judgement.proof, stored.facts.name)


def _otlp(stored: Run, judgement: Judgement) -> str:
    from lameduck.report.otlp import otlp
    from lameduck.report.picture import picture

    return otlp(stored, judgement.proof, picture(stored, judgement))


def _csv(stored: Run, _: Judgement) -> str:
    from lameduck.report.export import csv_lines

    return "".join(csv_lines(stored))


def _parquet(stored: Run, _: Judgement) -> bytes:
    from lameduck.report.export import parquet

    try:
        return parquet(stored)
    except ImportError as error:
        raise EnvironmentFault("Parquet needs pyarrow: pip install 'lameduck[parquet]'; or --format csv") from error


def _html(stored: Run, judgement: Judgement) -> str:
    from lameduck.cli.plotting import plotting_library
    from lameduck.report.html import page
    from lameduck.report.picture import picture

    return page(stored, judgement.proof, picture(stored, judgement), plotting_library())


RENDERINGS: Mapping[str, Rendering] = {
    "html": _html,
    "json": _json,
    "junit": _junit,
    "markdown": _markdown,
    "openmetrics": _openmetrics,
    "otlp": _otlp,
    "csv": _csv,
    "parquet": _parquet,
}
"""Every format but the terminal's."""
