"""Finding a kept run by its path, its name or ``last``, and judging it again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lameduck.core.errors import UsageError
from lameduck.runfile import read, runs_home

if TYPE_CHECKING:
    from lameduck.core.run import Run
    from lameduck.defects.judge import Judgement


def kept_runs() -> list[Path]:
    """The folders of all runs that are kept, the oldest first."""
    home = runs_home()
    found = [each for each in home.iterdir() if (each / "run.db").is_file()] if home.is_dir() else []
    return sorted(found, key=lambda folder: (folder / "run.db").stat().st_mtime)


def find_run(name: str) -> Path:
    """The run that a word means: a path, a kept run's name or the beginning of it, or ``last``.

    Raises `UsageError` where it means none or several.
    """
    if Path(name).exists():
        return Path(name)
    runs = kept_runs()
    if name == "last":
        if not runs:
            raise UsageError(f"no run is kept in {runs_home()} yet; 'lameduck prove' makes one")
        return runs[-1]
    like = [run for run in runs if run.name == name] or [run for run in runs if run.name.startswith(name)]
    if len(like) == 1:
        return like[0]
    if like:
        raise UsageError(f"'{name}' could be any of {', '.join(run.name for run in like[:5])}")
    raise UsageError(f"there is no run '{name}', neither as a path nor in {runs_home()}; 'lameduck runs' lists them")


def load(name: str) -> tuple[Run, Judgement]:
    """Read a run and judge it. Raises `UsageError` for what is no run."""
    from dataclasses import replace

    from lameduck.defects.judge import examine

    folder = find_run(name)
    run = read(folder).run
    where = folder if folder.is_dir() else folder.parent
    run = replace(run, meta={**run.meta, "folder": str(where.resolve())})
    return run, examine(run)
