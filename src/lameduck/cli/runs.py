"""List the runs that are kept, the newest last: name, age, verdict, what it found.

exit codes: 0 listed, also when there is none
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

from lameduck.core.errors import ExitCode, UsageError


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--json", metavar="FILE", help="write the list as JSON; - is standard output")
    parser.add_argument("-n", "--last", type=int, default=20, metavar="N", help="only the last N (20); 0 is all")


def run(arguments: argparse.Namespace) -> int:
    """Print the list."""
    from lameduck.cli.stored import kept_runs

    rows = [_row(folder) for folder in kept_runs()[-arguments.last if arguments.last > 0 else None :]]
    if arguments.json:
        from lameduck.cli.output import write_json

        write_json({"schema": "lameduck.runs/1", "runs": rows}, arguments.json)
        return ExitCode.OK
    if not rows:
        from lameduck.runfile import runs_home

        print(f"no run is kept in {runs_home()} yet; 'lameduck prove' makes one")
        return ExitCode.OK
    _table(rows)
    return ExitCode.OK


def _row(folder: Path) -> dict[str, Any]:
    from lameduck.runfile import read_notes

    age = time.time() - (folder / "run.db").stat().st_mtime
    row: dict[str, Any] = {"name": folder.name, "folder": str(folder), "age_seconds": round(age)}
    try:
        notes = read_notes(folder)
    except UsageError as error:
        return {**row, "verdict": None, "sentence": str(error), "complete": False, "workload": None}
    return {
        **row,
        "verdict": notes.get("verdict"),
        "sentence": notes.get("sentence") or "it did not come to its end; 'lameduck report' judges what there is",
        "complete": bool(notes.get("complete")),
        "workload": (notes.get("facts") or {}).get("name"),
    }


def _table(rows: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from lameduck.core.proof import Verdict
    from lameduck.report.inert import line
    from lameduck.report.terminal import COLOURS

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("run", no_wrap=True)
    table.add_column("age", justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    table.add_column("")
    for row in rows:
        verdict = row["verdict"] if row["verdict"] in set(Verdict) else ""
        style = COLOURS[Verdict(verdict)] if verdict else "dim"
        table.add_row(
            Text(line(row["name"])),
            _age(row["age_seconds"]),
            Text(verdict or "–", style=style),
            Text(line(row["sentence"])),
        )
    Console(highlight=False).print(table)


def _age(seconds: float) -> str:
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size:.0f} {unit}"
    return f"{seconds:.0f} s"
