"""The command line: one file per command, imported only when it is the one that runs.

Law: a command module has ``configure(parser)`` and ``run(arguments) -> int``; it decides nothing that a library user
could not have decided. Errors for people leave as one line on standard error with their exit code, anything else is
our own bug, says so, and exits with 70.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from functools import cache
from importlib import import_module
from typing import NoReturn

from lameduck import __version__
from lameduck.cli.settings import layered
from lameduck.core.errors import ExitCode, LameduckError, UsageError

COMMANDS = {
    "lint": "find what makes a rollout lose requests, in manifests, Dockerfiles and start scripts",
    "fix": "mend what lint finds: a diff, or the files",
    "explain": "the page of one rule",
    "inject": "manifests in, manifests with the complete safe set out",
    "prove": "load + rollouts + observation: the verdict, its findings, the report",
    "simulate": "predict a rollout in virtual time: the lag of each way, and the preStop that it asks for",
    "demo": "the prediction service's story, act by act, from failing to proven",
    "score": "the report card of one server's shutdown, without any cluster",
    "restore": "put back what an interrupted proof left behind: replicas, cordons, agents",
    "load": "send requests at a steady rate and say what became of each",
    "attach": "lay another tool's load (JMeter, k6, an access log) over a run made with prove --no-load",
    "report": "render a kept run again: terminal, html, json, junit, markdown, openmetrics, otlp, csv, parquet",
    "compare": "set two kept runs side by side: is the second worse beyond noise?",
    "runs": "list the runs that are kept",
    "completion": "print a completion script for bash, zsh or tcsh",
}
"""Every command and its line in the help; the module of the same name has the rest."""


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line: what is wrong, what was perhaps meant, where to look."""

    def error(self, message: str) -> NoReturn:
        from difflib import get_close_matches

        unknown = message.rpartition("unrecognized arguments: ")[2].split("=")[0].split()
        near = get_close_matches(unknown[0], self._option_string_actions, n=1) if unknown else []
        meant = f" (did you mean {near[0]}?)" if near and "unrecognized" in message else ""
        raise UsageError(f"{message}{meant}; '{self.prog} --help' has every option")


class _Help(argparse.RawDescriptionHelpFormatter):
    """argparse makes a formatter for every option declared, and each would load shutil and ask for the terminal."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=_columns())


@cache
def _columns() -> int:
    """The width of help texts: COLUMNS, else the terminal's, else 80 characters, and a margin of 2."""
    given = os.environ.get("COLUMNS", "")
    try:
        return (int(given) if given.isdigit() and int(given) else os.get_terminal_size().columns or 80) - 2
    except OSError:
        return 78


def command_parser(name: str) -> argparse.ArgumentParser:
    """The parser of one command, with ``run`` set to the function that does it."""
    module = import_module(f"lameduck.cli.{name}")
    parser = _Parser(
        prog=f"lameduck {name}",
        description=module.__doc__,
        formatter_class=_Help,
        allow_abbrev=False,
    )
    module.configure(parser)
    parser.set_defaults(run=module.run)
    return parser


def _overview() -> str:
    width = max(map(len, COMMANDS))
    lines = "\n".join(f"  {name:<{width}}  {line}" for name, line in COMMANDS.items())
    return (
        "usage: lameduck COMMAND [OPTIONS]\n\n"
        "Proves that a Kubernetes rollout loses no request,\n"
        "or says which were lost, why, and the patch that mends it.\n\n"
        f"commands:\n{lines}\n\n"
        "  lameduck COMMAND --help   everything about one command\n"
        "  lameduck --version\n\n"
        "exit codes: 0 proven or clean, 1 failed or findings, 2 usage, 3 inconclusive, 4 environment, 70 our own bug\n"
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code of the process."""
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] in {"-h", "--help", "help"}:
        print(_overview(), end="")
        return ExitCode.OK if words else ExitCode.USAGE
    if words[0] in {"-V", "--version"}:
        print(f"lameduck {__version__}")
        return ExitCode.OK
    name, rest = words[0], words[1:]
    if name not in COMMANDS:
        print(_unknown(name), file=sys.stderr)
        return ExitCode.USAGE
    try:
        parser = command_parser(name)
        arguments = parser.parse_args(layered(parser, name, rest))
        return int(arguments.run(arguments))
    except LameduckError as error:
        print(f"lameduck: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except BrokenPipeError:  # the reader of a pipe has gone: not an error of anybody's
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.OK


def _unknown(name: str) -> str:
    from difflib import get_close_matches

    near = get_close_matches(name, COMMANDS, n=1)
    hint = f" Did you mean '{near[0]}'?" if near else " 'lameduck --help' lists them."
    return f"lameduck: no command '{name}'.{hint}"
