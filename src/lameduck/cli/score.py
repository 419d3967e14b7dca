"""The report card of a server's shutdown: start it some times, tell it to stop, and see what its clients see.

  lameduck score --slow /slow -- uvicorn app:app --port {port}
  lameduck score --path /healthz --slow '/work?seconds=1' --json - -- ./start.sh
  lameduck score --path /ready --slow /predict --slow-body @row.json -- bentoml serve --port {port}
  lameduck score --http h2c --slow /slow -- hypercorn app:app -b 127.0.0.1:{port}
  lameduck score --grpc --slow /my.Service/Predict --slow-body @request.bin -- ./server --port {port}

No cluster and no rollout: the server runs here, on a free port of loopback that replaces {port} and stands in $PORT.
--slow makes all the difference: what takes about a second is what a rollout cuts.

grades: A nothing lost · B a delay before the signal mends it · C pooled clients lose requests whatever the delay ·
        D ends too late or not at all · F cuts requests in flight, or is deaf as PID 1 · ? too little could be asked
        Over HTTP/2 and gRPC a request is a stream, and a client that is told to leave is told so by GOAWAY.
letters: + answered, C and told to leave, 5 5xx or UNAVAILABLE, ? another status, x refused, R reset, E closed without
        an answer, ! cut within it, T silence, f the end was there to be seen before, - no keep-alive;
        HTTP/2: G not begun (GOAWAY), S REFUSED_STREAM, r stream reset or CANCELLED
exit codes: 0 A or B, 1 C, D or F, 2 usage, 3 ?, 4 it did not start, 130 interrupted
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from argparse import ArgumentTypeError
from typing import TYPE_CHECKING

from lameduck.cli import values
from lameduck.cli.traffic import body_of
from lameduck.core.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from lameduck.score.server import Subject

HEALTH = "/grpc.health.v1.Health/Check"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add = parser.add_argument
    add("--http", choices=("1.1", "h2c", "h2"), help="h2c: HTTP/2 in cleartext, prior knowledge; h2: in TLS (1.1)")
    add(
        "--grpc", action="store_true", help="gRPC over h2c, or with --http h2 in TLS; paths are /package.Service/Method"
    )
    add("--path", help="what is answered at once with 2xx (/; gRPC: /grpc.health.v1.Health/Check)")
    add("--slow", metavar="PATH", default="", help="what is answered after about a second")
    add("--body", metavar="TEXT|@FILE", help="sent to --path, by POST; gRPC: the message's bytes")
    add("--slow-body", metavar="TEXT|@FILE", help="sent to --slow, by POST; gRPC: the message's bytes")
    add("--body-type", metavar="TYPE", default="application/json", help="their Content-Type (application/json)")
    add(
        "--header",
        type=values.header,
        action="append",
        default=[],
        metavar="'N: V'",
        help="a header, as often as needed",
    )
    parser.add_argument("--signal", type=stop_signal, metavar="SIGNAL", default="TERM", help="the stop signal (TERM)")
    parser.add_argument(
        "--start", type=float, default=30.0, metavar="SECONDS", help="how long it may take to start (30)"
    )
    parser.add_argument(
        "--budget", type=float, default=38.0, metavar="SECONDS", help="ask nothing a second time after that (38)"
    )
    parser.add_argument("--json", metavar="FILE", help="write the card as JSON; - is standard output")
    parser.add_argument("command", nargs=argparse.REMAINDER, metavar="-- CMD", help="the server's command")


def run(arguments: argparse.Namespace) -> int:
    """Ask, judge, show; the exit code says whether a delay is enough."""
    from rich.console import Console

    from lameduck.cli.output import write_json
    from lameduck.defects.scoring import card
    from lameduck.report.score_card import screen
    from lameduck.score.asking import ask_all

    words = arguments.command[1:] if arguments.command[:1] == ["--"] else arguments.command
    if not words:
        raise UsageError("say which server: lameduck score --slow /slow -- uvicorn app:app --port {port}")
    subject = _subject(arguments, tuple(words))
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


def stop_signal(text: str) -> int:
    """``TERM``, ``SIGQUIT`` or ``15``."""
    from lameduck.local.spec import signal_number

    try:
        return signal_number(text)
    except ValueError as error:
        raise ArgumentTypeError(f"say {error}") from None


def _subject(arguments: argparse.Namespace, words: tuple[str, ...]) -> Subject:
    from lameduck.core.shutdown import Protocol
    from lameduck.score.frames import BODY
    from lameduck.score.request import Request
    from lameduck.score.server import Subject

    if arguments.grpc and arguments.http == "1.1":
        raise UsageError("--grpc is spoken over HTTP/2: leave --http out (h2c), or say --http h2 for TLS")
    plain = Protocol.HTTP_1 if arguments.http in (None, "1.1") else Protocol.HTTP_2
    protocol = Protocol.GRPC if arguments.grpc else plain

    def request(path: str, body: str | None) -> Request:
        if not path.startswith("/") or any(c.isspace() for c in path):
            raise UsageError(f"'{path}' is not a path: it begins with / and has no spaces")
        content = b"" if body is None else body_of(body)
        if len(content) > BODY and protocol is not Protocol.HTTP_1:
            raise UsageError(f"a body of {len(content)} bytes: at most {BODY} are sent over HTTP/2 here")
        typed = () if body is None or arguments.grpc else (("Content-Type", arguments.body_type),)
        return Request(path, "GET" if body is None else "POST", (*typed, *arguments.header), content)

    fast = request(arguments.path or (HEALTH if arguments.grpc else "/"), arguments.body)
    slow = request(arguments.slow, arguments.slow_body) if arguments.slow else None
    return Subject(words, fast, slow, arguments.signal, arguments.start, protocol=protocol, tls=arguments.http == "h2")
