"""Access logs of the hop in front: Envoy's default format, nginx's combined format and Traefik's common format.

Law: a log is the proxy's view: what it says of the upstream (its address, its failure) is evidence about the pod; what
never reached the proxy is not in it, and what the proxy retried looks answered. Lines of another form are counted as a
loss, not guessed at.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from errno import ECONNREFUSED, ECONNRESET

from lameduck.core.exchange import Exchange, Failure, Kind, Stage
from lameduck.core.instants import MILLISECOND, SECOND, from_seconds
from lameduck.core.join import NO_ENDPOINT
from lameduck.importing.entry import NO_CONNECTIONS, ONLY_STARTS, Imported, entry, failure_of
from lameduck.importing.times import common_log, rfc3339

A_HOP_SAW = "only what reached the proxy is in its log, and a request that it retried with success looks answered"
A_HOP_REPEATS = "a proxy may try another pod and log one good answer"
WHOLE_SECONDS = "times are whole seconds: a request can be up to a second off against the pods' lives"

_REQUEST = r'"(?P<request>(?:[^"\\]|\\.)*)"'
_ENVOY = re.compile(
    rf"\[(?P<at>[^\]]+)\] {_REQUEST} (?P<status>\d+) (?P<flags>\S+) (?:\S+ )*?(?P<received>\d+) (?P<size>\d+) "
    r'(?P<ms>\d+) \S+ (?:"[^"]*" ){4}"(?P<upstream>[^"]*)"'
)
_NGINX = re.compile(
    rf"(?P<client>\S+) - (?P<user>.+?) \[(?P<at>[^\]]+)\] {_REQUEST} (?P<status>\d+) (?P<size>\d+|-)"
    r'(?: "[^"]*" "[^"]*")?(?P<rest>.*)'
)
_TRAEFIK = re.compile(
    rf"(?P<client>\S+) - (?P<user>\S+) \[(?P<at>[^\]]+)\] {_REQUEST} (?P<status>\d+|-) (?P<size>\d+|-) "
    r'"[^"]*" "[^"]*" \d+ "(?P<router>[^"]*)" "(?P<upstream>[^"]*)" (?P<ms>\d+)ms'
)
_SECONDS = re.compile(r"(?<![\d.:])(\d+\.\d{3})(?![\d.])")
_SEVERAL = re.compile(r"\d:\d+, (?:\d{1,3}\.){3}\d{1,3}:\d+")
_ADDRESS = re.compile(r"(?<![\w.])((?:\d{1,3}\.){3}\d{1,3}:\d+)")

FLAGS = {
    "UF": Failure(Stage.CONNECT, Kind.REFUSED, ECONNREFUSED, "UF: the upstream connection failed"),
    "UC": Failure(Stage.AWAIT, Kind.RESET, ECONNRESET, "UC: the upstream ended the connection"),
    "UR": Failure(Stage.AWAIT, Kind.RESET, ECONNRESET, "UR: the upstream reset the stream"),
    "UT": Failure(Stage.AWAIT, Kind.TIMEOUT, 0, "UT: the upstream did not answer in time"),
    "UH": Failure(Stage.CONNECT, Kind.UNREACHABLE, 0, NO_ENDPOINT),
    "NR": Failure(Stage.VALIDATE, Kind.BAD_STATUS, 0, "NR: no route"),
    "DC": Failure(Stage.AWAIT, Kind.PROTOCOL, 0, "DC: the client went away"),
}
"""Envoy's response flags that say what became of the upstream."""

Line = Callable[[re.Match[str]], Exchange]


def envoy(lines: Iterable[str]) -> Imported:
    """Envoy's default text format."""
    return _parse(lines, _ENVOY, _envoy, [A_HOP_SAW, NO_CONNECTIONS, ONLY_STARTS], MILLISECOND)


def nginx(lines: Iterable[str]) -> Imported:
    """nginx's combined format; a following ``$request_time`` and ``$upstream_addr`` are used where they are there."""
    return _parse(
        lines, _NGINX, _nginx, [A_HOP_SAW, NO_CONNECTIONS, WHOLE_SECONDS, "nginx logs a request at its end"], SECOND
    )


def traefik(lines: Iterable[str]) -> Imported:
    """Traefik's common format."""
    return _parse(lines, _TRAEFIK, _traefik, [A_HOP_SAW, NO_CONNECTIONS, WHOLE_SECONDS], SECOND)


def _parse(lines: Iterable[str], form: re.Pattern[str], read: Line, losses: list[str], precision: int) -> Imported:
    found: list[Exchange] = []
    strange = masked = 0
    for line in lines:
        match = form.match(line[:16_384])
        if match is not None:
            found.append(read(match))
            masked += found[-1].failure is None and _tried_again(match.groupdict().get("rest", ""))
        elif line.strip():
            strange += 1
    if strange:
        losses = [*losses, f"{strange:,} lines have another form and were left out"]
    return Imported(found, losses, precision, client_view=False, hides_retries=A_HOP_REPEATS, masked=masked)


def _tried_again(rest: str) -> bool:
    """Whether nginx's ``$upstream_addr`` names more than one: each but the last had failed."""
    return bool(_SEVERAL.search(rest))


def _envoy(told: re.Match[str]) -> Exchange:
    start, status = rfc3339(told["at"]), int(told["status"])
    flags = [FLAGS[flag] for flag in told["flags"].split(",") if flag in FLAGS]
    failure = flags[0] if flags else failure_of("", status)
    upstream = told["upstream"] if told["upstream"] != "-" else ""
    end = start + int(told["ms"]) * MILLISECOND
    return entry(start, end, status, failure, size=int(told["size"]), peer=upstream)


def _nginx(told: re.Match[str]) -> Exchange:
    end, status = common_log(told["at"]), int(told["status"])
    lasted = _SECONDS.search(told["rest"])
    upstreams = _ADDRESS.findall(told["rest"])
    return entry(
        end - (from_seconds(float(lasted.group(1))) if lasted else 0),
        end,
        status,
        # 499 is nginx's own: the client went away
        Failure(Stage.AWAIT, Kind.PROTOCOL, 0, "499: the client went away")
        if status == 499
        else failure_of("", status),
        size=int(told["size"]) if told["size"] != "-" else 0,
        peer=upstreams[-1] if upstreams else "",
    )


def _traefik(told: re.Match[str]) -> Exchange:
    start = common_log(told["at"])
    status = int(told["status"]) if told["status"] != "-" else 0
    address = _ADDRESS.search(told["upstream"])
    return entry(
        start,
        start + int(told["ms"]) * MILLISECOND,
        status,
        failure_of("", status),
        size=int(told["size"]) if told["size"] != "-" else 0,
        peer=address.group(1) if address else "",
    )
