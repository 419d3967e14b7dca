"""The options for a load that is not ours: ``--no-load``, ``--import`` and ``--load-command``.

Law: what can be found wrong before anything is touched is said then.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from lameduck.core.errors import UsageError

if TYPE_CHECKING:
    from lameduck.load.foreign import Import


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add = parser.add_argument_group("a load of your own").add_argument
    add(
        "--no-load",
        action="store_true",
        help="send nothing, only roll and watch; --qps is then what your load promises",
    )
    add(
        "--import",
        dest="imports",
        metavar="KIND[:FILE]",
        help="what your load writes: jmeter, k6, vegeta, fortio, nginx …",
    )
    add("--load-command", metavar="CMD", help="start it alongside; {out}, {host}, {port} and {address} are replaced")


def kind_and_file(text: str) -> tuple[str, Path | None]:
    """``KIND[:FILE]``; ``accesslog:`` may stand before the proxies' kinds. Raises `UsageError`."""
    from lameduck.importing import KINDS

    kind, _, file = text.removeprefix("accesslog:").partition(":")
    if kind not in KINDS:
        raise UsageError(f"--import wants KIND:FILE with a kind of {', '.join(KINDS)}, not '{text}'")
    return kind, Path(file) if file else None


def wanted(arguments: argparse.Namespace) -> Import | None:
    """What the user brings, None for our own load. Raises `UsageError`."""
    from lameduck.load.foreign import Import, place

    rate = float(arguments.qps or 0.0)
    command = arguments.load_command or ""
    if not arguments.imports:
        if command:
            raise UsageError("--load-command needs --import KIND: which tool writes {out}? jmeter, k6, vegeta …")
        return Import("", Path(), rate=rate) if arguments.no_load else None
    if not arguments.no_load and not command:
        raise UsageError("--import takes the place of lameduck's own load: say --no-load too, or --load-command CMD")
    kind, file = kind_and_file(arguments.imports)
    if command:
        place(command, Path("out"), "127.0.0.1:80")
        if file is None and "{out}" not in command:
            raise UsageError("where does the load command write? Put {out} there, or name the file: --import KIND:FILE")
    elif file is None:
        raise UsageError(f"which file does your load write? --import {kind}:FILE")
    if file is not None and (file.is_dir() or not file.absolute().parent.is_dir()):
        raise UsageError(
            f"{file} cannot be a load's file: " + ("it is a folder" if file.is_dir() else "no such folder")
        )
    return Import(kind, file or Path(), command, rate)
