"""Send requests at a steady rate, however slow the answers are, and say what became of each.

The load is open: every request has an intended start and is sent then. Response times count from the intended start,
so a server that stalls cannot hide it. Half the requests get a connection of their own, half a kept-alive one. Nothing
is ever retried.

  lameduck load http://127.0.0.1:8080/health --qps 500 --duration 30s
  lameduck load https://api.example/v2/models/m/infer --body @request.json --expect-body /outputs/0/name=y
  lameduck load localhost:8080 --lanes new=0.7,reuse=0.3 --json load.json

Exit codes: 0 none failed, 1 some failed, 2 usage, 3 the engine could not keep the plan, 4 the target's name does not
resolve, 130 interrupted with none failed.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lameduck.cli import values
from lameduck.cli.traffic import add_traffic_options, secrets, traffic_plan
from lameduck.core.errors import EnvironmentFault, ExitCode, UsageError

if TYPE_CHECKING:
    from lameduck.core.plan import TrafficPlan
    from lameduck.load.crew import Crew, TlsOptions
    from lameduck.report.load_summary import LoadSummary


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("url", metavar="URL", help="http:// or https://; http:// may be left out")
    add_traffic_options(parser, path=False)
    group = parser.add_argument_group("connection")
    add = group.add_argument
    add("--host", metavar="NAME", help="the Host header (default: the URL's)")
    add("--server-name", metavar="NAME", help="the name to ask for and check in TLS (default: the URL's host)")
    add("--cacert", metavar="FILE", help="trust this certificate authority instead of the system's")
    add("--insecure", action="store_true", help="trust any certificate")
    add("--workers", type=values.count, default=1, metavar="N", help="processes that send (default 1)")
    group = parser.add_argument_group("output")
    group.add_argument("--json", metavar="FILE|-", help="write the results as JSON (schema lameduck.load/1)")
    group.add_argument("--quiet", action="store_true", help="print nothing but errors")


def run(arguments: argparse.Namespace) -> int:
    """Send, watch, report."""
    from lameduck.load.crew import Crew, Job
    from lameduck.load.dialer import TcpDialer
    from lameduck.load.requests import prepare

    target = parse_url(arguments.url)
    plan = traffic_plan(arguments, path=target.path)
    tls = _tls(arguments, target)
    host = arguments.host or target.authority
    values_of = secrets(plan)
    for lane, _ in plan.lanes:
        prepare(plan.requests[0], lane, host, values_of)  # refuse here, in one line, what cannot be sent
    _check_writable(arguments.json)
    addresses = TcpDialer.resolve(target.host, target.port).addresses
    with _ctrl_c() as pressed:
        crew = Crew(Job(plan, addresses, host, tls, values_of), arguments.workers)
        interrupted = _watch(crew, plan, target.url, pressed, live=not arguments.quiet)
    _report(crew.summary, plan, target.url, arguments)
    if crew.summary.failed:
        return ExitCode.FAILED
    if interrupted:
        return ExitCode.INTERRUPTED
    return ExitCode.INCONCLUSIVE if crew.summary.troubles or not crew.summary.requests else ExitCode.OK


@dataclass(frozen=True, slots=True)
class Target:
    """A URL, taken apart."""

    url: str
    secure: bool
    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        """The Host header: the port only where it is not the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.secure else 80) else f"{host}:{self.port}"


def parse_url(text: str) -> Target:
    """The target of a URL; `UsageError` for what is none, or holds a secret."""
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(text if "://" in text else f"http://{text}")
        port = parts.port
    except ValueError as error:
        raise UsageError(f"'{text}' is not a URL: {error}") from None
    if parts.scheme not in {"http", "https"}:
        raise UsageError(f"'{text}': lameduck speaks http:// and https://")
    if not parts.hostname:
        raise UsageError(f"'{text}' names no host: say http://HOST:PORT/PATH")
    if parts.username is not None:
        raise UsageError("a password in a URL would be stored with the results: use --header-env Authorization=VAR")
    try:
        host = parts.hostname if parts.hostname.isascii() else parts.hostname.encode("idna").decode()
    except UnicodeError:
        raise UsageError(f"'{parts.hostname}' is not a host name") from None
    path = values.path((parts.path or "/") + (f"?{parts.query}" if parts.query else ""))
    secure = parts.scheme == "https"
    target = Target("", secure, host, port or (443 if secure else 80), path)
    return Target(f"{parts.scheme}://{target.authority}{path}", secure, host, target.port, path)


def _tls(arguments: argparse.Namespace, target: Target) -> TlsOptions | None:
    from lameduck.load.crew import TlsOptions

    asked = [
        f"--{name}" for name in ("cacert", "insecure", "server-name") if getattr(arguments, name.replace("-", "_"))
    ]
    if not target.secure:
        if asked:
            raise UsageError(f"{asked[0]} needs an https:// URL")
        return None
    options = TlsOptions(arguments.cacert or "", arguments.insecure, arguments.server_name or target.host)
    options.context()
    return options


def _check_writable(file: str | None) -> None:
    """Find out before the run, not after it, that its results cannot be written."""
    if file is None or file == "-":
        return
    try:
        with open(file, "ab"):  # noqa: PTH123
            pass
    except OSError as error:
        raise EnvironmentFault(f"cannot write {file}: {error.strerror}") from None


@contextmanager
def _ctrl_c() -> Iterator[list[bool]]:
    """The first Ctrl-C is only noted: an exception, wherever it came, could lose what was sent. The second raises."""
    pressed: list[bool] = []

    def note(*_: object) -> None:
        if pressed:
            raise KeyboardInterrupt
        pressed.append(True)

    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:  # ignored, or somebody else's
        yield pressed
        return
    signal.signal(signal.SIGINT, note)
    try:
        yield pressed
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _watch(crew: Crew, plan: TrafficPlan, url: str, pressed: list[bool], *, live: bool) -> bool:
    """Follow the workers to their end; True if a Ctrl-C came first. A second one ends them at once."""
    try:
        from lameduck.cli.load_live import LiveView

        interrupted = False
        with LiveView(plan, url, crew.started, on=live) as view:
            for word in crew.words():
                view.update(word)
                if pressed and not interrupted:
                    interrupted = True
                    crew.stop()
    except BaseException:
        crew.kill()
        raise
    return interrupted


def _report(summary: LoadSummary, plan: TrafficPlan, url: str, arguments: argparse.Namespace) -> None:
    from itertools import pairwise

    from lameduck.core.arrivals import planned
    from lameduck.core.instants import SECOND

    ends = [min(second, summary.duration) for second in range(SECOND, summary.duration + SECOND, SECOND)]
    due = [planned(plan, end) for end in [0, *ends]]
    asked = [later - earlier for earlier, later in pairwise(due)]
    if not arguments.quiet:
        from rich.console import Console

        from lameduck.report.load_text import screen

        Console(stderr=arguments.json == "-", highlight=False).print(screen(summary, plan, url, asked))
    if arguments.json:
        _write_json(arguments.json, summary, plan, url, asked)


def _write_json(file: str, summary: LoadSummary, plan: TrafficPlan, url: str, asked: list[int]) -> None:
    import json
    from pathlib import Path

    from lameduck.report.load_summary import as_dict

    content: dict[str, Any] = as_dict(summary, plan, url, asked)
    text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    if file == "-":
        sys.stdout.write(text)
        return
    try:
        Path(file).write_text(text, encoding="utf-8")
    except OSError as error:
        raise EnvironmentFault(f"cannot write {file}: {error.strerror}") from None
