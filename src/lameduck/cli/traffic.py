"""The options that describe traffic, shared by ``load`` and ``prove``.

Law: no option has a default of its own (each is None unless given), so that a configuration file and the environment
can be laid below the flags; what nobody gave is what `TrafficPlan` and `RequestShape` say. A text set with
``parser.set_defaults`` is parsed as if it had been given.
"""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from lameduck.cli import values
from lameduck.core.errors import UsageError
from lameduck.core.plan import ArrivalProcess, RequestShape, SocketPlan, TrafficPlan


def add_traffic_options(parser: argparse.ArgumentParser, *, path: bool = True) -> None:
    """Declare the options; `path` is left out where a URL has it."""
    group = parser.add_argument_group("traffic")
    add = group.add_argument
    add("--qps", type=values.rate, metavar="N", help="requests per second over all lanes (default 100)")
    add("--duration", type=values.duration, metavar="TIME", help="least time under load: 30s, 1m30s (default 10s)")
    add("--lanes", type=values.lanes, metavar="LANES", help="new,reuse or new=0.7,reuse=0.3 (default new,reuse)")
    add("--arrivals", type=values.arrivals, metavar="PROCESS", help="constant, poisson or ramp (default constant)")
    add("--ramp-from", type=values.rate, metavar="N", help="the rate at which a ramp begins; implies --arrivals ramp")
    add("--seed", type=int, metavar="N", help="of everything that is drawn (default 1)")
    add("--connect-timeout", type=values.duration, metavar="TIME", help="until connected, TLS included (default 5s)")
    add("--timeout", type=values.duration, metavar="TIME", help="from a request's start to its last byte (default 10s)")
    add(
        "--connections",
        type=values.count,
        metavar="N",
        help="so many kept-alive connections, none idle for long; more where all are busy",
    )
    add("--look", action=argparse.BooleanOptionalAction, help="look at a kept-alive connection before reuse (default)")
    add(
        "--refill",
        action=argparse.BooleanOptionalAction,
        help="dial anew for a kept-alive connection that ended (default); else only where none is idle",
    )
    group = parser.add_argument_group("request")
    add = group.add_argument
    add("--method", type=values.method, metavar="M", help="default GET, or POST with a body")
    if path:
        add("--path", type=values.path, metavar="PATH", help="path and query (default /)")
    add("--header", type=values.header, action="append", metavar="'N: V'", help="a header, as often as needed")
    add("--header-env", type=values.secret_header, action="append", metavar="N=VAR", help="a header's value from $VAR")
    add("--body", metavar="TEXT|@FILE", help="the body; @- reads standard input")
    add("--body-type", metavar="TYPE", help="its Content-Type (default application/json)")
    group = parser.add_argument_group("expected answer")
    add = group.add_argument
    add("--expect-status", type=values.statuses, metavar="LIST", help="200,204,3xx,500-503 (default 2xx)")
    add("--expect-body", type=values.expected_body, metavar="WHAT", help="substring, /regex/ or /json/pointer=value")
    add("--served-by-header", metavar="NAME", help="the answer's header that names who served (default x-served-by)")


def add_socket_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options of held WebSockets."""
    group = parser.add_argument_group("long-lived connections")
    add = group.add_argument
    add("--sockets", type=int, default=0, metavar="N", help="hold N WebSockets open through the disruptions (0)")
    add("--socket-path", type=values.path, default="/", metavar="PATH", help="where they are opened (/)")
    add("--socket-back", type=values.duration, metavar="TIME", help="one that is told to go must be back in (5s)")


def socket_plan(arguments: argparse.Namespace) -> SocketPlan | None:
    """The held WebSockets that were asked for; `UsageError` for a number that is none or where they cannot be held."""
    if not arguments.sockets:
        return None
    if arguments.sockets < 0:
        raise UsageError("--sockets is 0 or more")
    if find_spec("websockets") is None:
        raise UsageError("--sockets needs the package websockets: pip install 'lameduck[sockets]'")
    plan = SocketPlan(arguments.sockets, arguments.socket_path)
    return plan if arguments.socket_back is None else replace(plan, back_within=arguments.socket_back)


def traffic_plan(arguments: argparse.Namespace, *, path: str | None = None) -> TrafficPlan:
    """The plan of the given options; `UsageError` where they do not fit together or the body cannot be read."""
    given = {name: value for name, value in vars(arguments).items() if value is not None}
    plan = _fields(given, _PLAN)
    if "ramp_from" in plan and plan.setdefault("arrivals", ArrivalProcess.RAMP) is not ArrivalProcess.RAMP:
        raise UsageError(f"--ramp-from needs --arrivals ramp, not {plan['arrivals']}")
    return TrafficPlan(**plan, requests=(_request(given, path),))


def secrets(plan: TrafficPlan) -> dict[str, str]:
    """The values of the environment variables that the plan's requests name, of those that are set."""
    named = {variable for shape in plan.requests for _, variable in shape.secret_headers}
    return {variable: os.environ[variable] for variable in named if variable in os.environ}


_PLAN = {
    "qps": "rate",
    "ramp_from": "ramp_from",
    **{name: name for name in ("arrivals", "duration", "lanes", "connect_timeout", "timeout")},
    **{name: name for name in ("connections", "look", "refill", "seed", "served_by_header")},
}
"""The options that are a field of `TrafficPlan`."""

_SHAPE = {name: name for name in ("method", "path", "expect_status", "expect_body")}
"""The options that are a field of `RequestShape`."""


def _request(given: dict[str, Any], path: str | None) -> RequestShape:
    shape = _fields(given, _SHAPE)
    headers = list(given.get("header", ()))
    if "body" in given:
        shape["body"] = body_of(given["body"])
        shape.setdefault("method", "POST")
        if not any(name.lower() == "content-type" for name, _ in headers):
            headers.append(("Content-Type", given.get("body_type", "application/json")))
    elif "body_type" in given:
        raise UsageError("--body-type needs a --body")
    if path is not None:
        shape["path"] = path
    return RequestShape(**shape, headers=tuple(headers), secret_headers=tuple(given.get("header_env", ())))


def _fields(given: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    return {field: given[option] for option, field in names.items() if option in given}


def body_of(text: str) -> bytes:
    """``TEXT``, or what ``@FILE`` has; ``@-`` is standard input. Raises `UsageError`."""
    if not text.startswith("@"):
        return text.encode()
    if text == "@-":
        return sys.stdin.buffer.read()
    try:
        return Path(text[1:]).read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read the body from {text[1:]}: {error.strerror}") from None
