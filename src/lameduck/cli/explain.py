"""The page of one rule: what it finds, why it loses requests, the fix and its safety.

lameduck explain LD404                 also by name: lameduck explain interrupted-wait
lameduck explain                       every rule in one line
"""

from __future__ import annotations

import argparse
import sys

from lameduck.core.errors import ExitCode, UsageError


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("code", nargs="*", metavar="CODE", help="a rule's code or name")


def run(arguments: argparse.Namespace) -> int:
    """Print pages, or the list."""
    from lameduck.defects.pages import page, titles

    if not arguments.code:
        for code, slug, title in titles():
            print(f"{code}  {slug:<34} {title}")
        return ExitCode.OK
    for index, given in enumerate(arguments.code):
        text = page(given)
        if text is None:
            raise UsageError(f"there is no rule '{given}'{_near(given)}")
        sys.stdout.write(("\n" if index else "") + _coloured(text))
    return ExitCode.OK


def _near(given: str) -> str:
    from difflib import get_close_matches

    from lameduck.defects.pages import titles

    names = [word for code, slug, _ in titles() for word in (code, slug)]
    near = get_close_matches(given.upper(), names, n=1) or get_close_matches(given.lower(), names, n=1)
    return f"; did you mean {near[0]}?" if near else "; lameduck explain lists them"


def _coloured(text: str) -> str:
    import os

    if not sys.stdout.isatty() or os.environ.get("NO_COLOR"):
        return text
    lines = text.split("\n")
    return "\n".join(f"\x1b[1m{line}\x1b[0m" if line and not line[0].isspace() else line for line in lines)
