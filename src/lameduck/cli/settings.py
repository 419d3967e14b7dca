"""Options from files and the environment: defaults < ``lameduck.toml`` or ``[tool.lameduck]`` < ``LAMEDUCK_*`` < flags.

Law: a setting has the name of the long option it stands for, and means exactly what that option would mean; it is put
in front of the command line, where the last word wins. A key that no command knows is an error, never ignored. Keys at
the top serve every command that has them; a table named after a command serves that command alone.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lameduck.core.errors import UsageError

FILES = ("lameduck.toml", "pyproject.toml")
OWN_TABLES = frozenset({"lint", "images", "select", "ignore", "extend", "per-file-ignores", "kubernetes-version"})
"""Keys that a command reads by itself, since they are more than a flag's value."""
PREFIX = "LAMEDUCK_"
NOT_SETTINGS = frozenset({"LAMEDUCK_SANDBOX", "LAMEDUCK_WHEEL_BIN"})


def layered(parser: argparse.ArgumentParser, command: str, words: Sequence[str]) -> list[str]:
    """The command line with the settings of files and environment put in front of it.

    Raises `UsageError` for a file that cannot be read and for a key that no command knows.
    """
    options = _options(parser)
    lines = [*_from_files(options, command, Path.cwd()), *_from_environment(options)]
    return [*lines, *words]


def _options(parser: argparse.ArgumentParser) -> dict[str, argparse.Action]:
    return {
        option[2:]: action
        for action in parser._actions  # argparse has no public list of them
        for option in action.option_strings
        if option.startswith("--") and action.dest != "help"
    }


def _from_files(options: Mapping[str, argparse.Action], command: str, folder: Path) -> Iterator[str]:
    for name in FILES:
        file = folder / name
        if not file.is_file():
            continue
        import tomllib

        try:
            data = tomllib.loads(file.read_text())
        except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise UsageError(f"{file}: cannot be read: {error}") from error
        table = data if name == "lameduck.toml" else data.get("tool", {}).get("lameduck")
        if table is not None:
            yield from _from_table(options, command, table, file)
            return


def _from_table(
    options: Mapping[str, argparse.Action], command: str, table: Mapping[str, Any], file: Path
) -> Iterator[str]:
    from lameduck.cli import COMMANDS

    for key, value in table.items():
        if key in COMMANDS and isinstance(value, dict):
            if key == command:
                yield from _own(options, value, file, command)
        elif key in options:
            yield from _words(options[key], key, value, file)
        elif key not in OWN_TABLES:
            _refuse_unknown(key, file)


def _own(options: Mapping[str, argparse.Action], table: Mapping[str, Any], file: Path, command: str) -> Iterator[str]:
    for key, value in table.items():
        if key in options:
            yield from _words(options[key], key, value, file)
        elif command != "lint":
            raise UsageError(f"{file}: '{command}' has no setting '{key}'" + _hint(key, options))


def _refuse_unknown(key: str, file: Path) -> None:
    """Raise for a key that no command knows; only now are the other commands looked at."""
    from lameduck.cli import COMMANDS, command_parser

    known = {option for name in COMMANDS for option in _options(command_parser(name))}
    if key not in known:
        raise UsageError(f"{file}: no command has a setting '{key}'" + _hint(key, known))


def _hint(key: str, known: Iterable[str]) -> str:
    from difflib import get_close_matches

    near = get_close_matches(key, known, n=1)
    return f"; did you mean '{near[0]}'?" if near else ""


def _words(action: argparse.Action, key: str, value: Any, file: Path) -> Iterator[str]:
    """One setting as words of a command line."""
    if isinstance(value, dict):
        raise UsageError(f"{file}: '{key}' is a value, not a table")
    if action.nargs == 0:
        if not isinstance(value, bool):
            raise UsageError(f"{file}: '{key}' is true or false")
        yield from _switch(action, key, on=value)
        return
    for each in value if isinstance(value, list) else [value]:
        yield f"--{key}={str(each).lower() if isinstance(each, bool) else each}"


def _switch(action: argparse.Action, key: str, *, on: bool) -> Iterator[str]:
    if on:
        yield f"--{key}"
    elif isinstance(action, argparse.BooleanOptionalAction):
        yield f"--no-{key}"


def _from_environment(options: Mapping[str, argparse.Action]) -> Iterator[str]:
    for variable, value in sorted(os.environ.items()):
        if not variable.startswith(PREFIX) or variable in NOT_SETTINGS:
            continue
        key = variable.removeprefix(PREFIX).lower().replace("_", "-")
        if key not in options:
            continue  # another command's, or the pod's own
        action = options[key]
        if action.nargs == 0:
            yield from _switch(action, key, on=value.lower() not in {"", "0", "false", "no"})
        else:
            yield f"--{key}={value}"
