"""Print a completion script: ``lameduck completion bash > /etc/bash_completion.d/lameduck``."""

from __future__ import annotations

import argparse

from lameduck.core.errors import ExitCode


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("shell", choices=("bash", "zsh", "tcsh"))


def run(arguments: argparse.Namespace) -> int:
    """Print the script of the asked shell."""
    import shtab

    from lameduck.cli import COMMANDS, command_parser

    whole = argparse.ArgumentParser(prog="lameduck")
    commands = whole.add_subparsers(dest="command")
    for name, line in COMMANDS.items():
        commands.add_parser(name, help=line, parents=[command_parser(name)], add_help=False, conflict_handler="resolve")
    print(shtab.complete(whole, shell=arguments.shell))
    return ExitCode.OK
