"""The report card of a server's shutdown: start it some times, tell it to stop, and see what its clients see.

  lameduck score --slow /slow -- uvicorn app:app --port {port}
  lameduck score --path /healthz --slow '/work?seconds=1' --json - -- ./start.sh

No cluster and no rollout: the server runs here, on a free port of loopback that replaces {port} and stands in $PORT.
--slow makes all the difference: what takes about a second is what a rollout cuts.

grades: A nothing lost · B a delay before the signal mends it · C pooled clients lose requests whatever the delay ·
        D ends too late or not at all · F cuts requests in flight, or is deaf as PID 1 · ? too little could be asked
exit codes: 0 A or B, 1 C, D or F, 2 usage, 3 ?, 4 it did not start, 130 interrupted
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from argparse import ArgumentTypeError

from lameduck.core.errors import ExitCode, UsageError


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--path", default="/", help="what is answered at once with 2xx (/)")
    parser.add_argument("--slow", metavar="PATH", default="", help="what is answered after about a second")
    parser.add_argument("--signal", type=signal_number, default="TERM", help="the stop signal (TERM)")
    parser.add_argument(
        "--start", type=float, default=30.0, metavar="SECONDS", help="how long it may take to start (30)"
    )
    parser.add_argument("--budget", type=float, default=38.0, metavar="SECONDS", help="ask no more after that (38)")
    parser.add_argument("--json", metavar="FILE", help="write the card as JSON; - is standard output")
    parser.add_argument("command", nargs=argparse.REMAINDER, metavar="-- CMD", help="the server's command")


def run(arguments: argparse.Namespace) -> int:
    """Ask, judge, show; the exit code says whether a delay is enough."""
    from rich.console import Console

    from lameduck.cli.output import write_json
    from lameduck.defects.scoring import card
    from lameduck.report.score_card import screen
    from lameduck.score.asking import ask_all
    from lameduck.score.server import Subject

    words = arguments.command[1:] if arguments.command[:1] == ["--"] else arguments.command
    if not words:
        raise UsageError("say which server: lameduck score --slow /slow -- uvicorn app:app --port {port}")
    slow = _head(arguments.slow) if arguments.slow else b""
    subject = Subject(tuple(words), _head(arguments.path), slow, arguments.signal, arguments.start)
    progress = Console(stderr=True)
    with progress.status("starting the server") as status:
        seen = asyncio.run(ask_all(subject, arguments.budget, lambda name: status.update(f"asking: {name}")))
    judged = card(seen)
    if arguments.json:
        write_json(judged.as_dict(), arguments.json)
    if arguments.json != "-":
        Console(highlight=False, width=min(Console().width, 120)).print(screen(judged))
    sys.stdout.flush()
    if judged.grade == "?":
        return ExitCode.INCONCLUSIVE
    return ExitCode.OK if judged.grade in "AB" else ExitCode.FAILED


def signal_number(text: str) -> int:
    """``TERM``, ``SIGQUIT`` or ``15``."""
    import signal

    try:
        return int(signal.Signals(int(text)) if text.isdigit() else signal.Signals["SIG" + text.removeprefix("SIG")])
    except (KeyError, ValueError):
        raise ArgumentTypeError(f"'{text}' is not a signal: say TERM, QUIT, INT or a number") from None


def _head(path: str) -> bytes:
    if not path.startswith("/") or any(c.isspace() for c in path):
        raise UsageError(f"'{path}' is not a path: it begins with / and has no spaces")
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: lameduck-score\r\n\r\n".encode()
