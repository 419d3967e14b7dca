"""The values of options: text to data, the same for a flag, a configuration file and an environment variable.

Law: each parser is a function of its text alone and raises `argparse.ArgumentTypeError` with a sentence that shows what
would have been right.
"""

from __future__ import annotations

import re
from argparse import ArgumentTypeError
from math import isfinite

from lameduck.core.exchange import Lane
from lameduck.core.instants import SECOND
from lameduck.core.plan import ArrivalProcess, BodyExpectation

_UNITS = {"ns": 1, "us": 1_000, "µs": 1_000, "ms": 1_000_000, "s": SECOND, "m": 60 * SECOND, "h": 3600 * SECOND}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)")


def duration(text: str) -> int:
    """``30s``, ``1m30s``, ``500ms``, or a number of seconds, as nanoseconds; more than none."""
    if re.fullmatch(r"\d+(\.\d+)?", text):
        length = round(float(text) * SECOND)
    elif re.fullmatch(f"({_PART.pattern})+", text):
        length = round(sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text)))
    else:
        raise ArgumentTypeError(f"'{text}' is not a duration: say 30s, 1m30s, 500ms or a number of seconds")
    if length <= 0:
        raise ArgumentTypeError(f"'{text}' is no time at all")
    return length


def rate(text: str) -> float:
    """Requests per second: a finite number above 0."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not (isfinite(number) and number > 0):
        raise ArgumentTypeError(f"'{text}' is not a rate: say a number of requests per second above 0")
    return number


def count(text: str) -> int:
    """A whole number, at least 1."""
    if not re.fullmatch(r"[1-9]\d*", text):
        raise ArgumentTypeError(f"'{text}' is not a whole number above 0")
    return int(text)


def lanes(text: str) -> tuple[tuple[Lane, float], ...]:
    """``new,reuse`` (equal shares) or ``new=0.7,reuse=0.3``."""
    shares: dict[Lane, float] = {}
    for item in text.split(","):
        name, given, number = item.strip().partition("=")
        try:
            lane, share = Lane(name), float(number) if given else 1.0
        except ValueError:
            raise ArgumentTypeError(f"'{item}' is not a lane: say new, reuse, or new=0.7,reuse=0.3") from None
        if lane in shares or not (isfinite(share) and share > 0):
            raise ArgumentTypeError(f"'{text}': each lane once, with a share above 0")
        shares[lane] = share
    return tuple(shares.items())


def arrivals(text: str) -> ArrivalProcess:
    """``constant``, ``poisson`` or ``ramp``."""
    try:
        return ArrivalProcess(text)
    except ValueError:
        raise ArgumentTypeError(f"'{text}' is not an arrival process: say {', '.join(ArrivalProcess)}") from None


def method(text: str) -> str:
    """An HTTP method, in upper case."""
    if not re.fullmatch(r"[A-Za-z]+", text) or text.upper() == "CONNECT":
        raise ArgumentTypeError(f"'{text}' is not a method that can be sent: say GET, POST …")
    return text.upper()


def path(text: str) -> str:
    """A path with its query, percent-encoded where that is missing."""
    from urllib.parse import quote

    if not text.startswith("/"):
        raise ArgumentTypeError(f"'{text}' is not a path: it starts with /")
    return quote(text, safe="%/:=&?~+!$,;'@()*[]|")


def statuses(text: str) -> tuple[range, ...]:
    """``200,204,3xx,500-503`` as ranges."""
    found = []
    for item in (part.strip() for part in text.split(",")):
        if match := re.fullmatch(r"([1-9])xx", item.lower()):
            found.append(range(int(match[1]) * 100, int(match[1]) * 100 + 100))
        elif match := re.fullmatch(r"([1-9]\d\d)(?:-([1-9]\d\d))?", item):
            found.append(range(int(match[1]), int(match[2] or match[1]) + 1))
        if not match or not found[-1]:
            raise ArgumentTypeError(f"'{item}' is not a status: say 200, 3xx or 200-204, with commas between")
    return tuple(found)


def header(text: str) -> tuple[str, str]:
    """``Name: value``."""
    name, colon, value = text.partition(":")
    if not colon or not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name):
        raise ArgumentTypeError(f"'{text}' is not a header: say 'Name: value'")
    return name, value.strip()


def secret_header(text: str) -> tuple[str, str]:
    """``NAME=VAR``: a header whose value is in an environment variable."""
    name, given, variable = text.partition("=")
    if not given or not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name) or not variable:
        raise ArgumentTypeError(f"'{text}' is not NAME=VAR: say Authorization=TOKEN, with the value in $TOKEN")
    return name, variable


def expected_body(text: str) -> BodyExpectation:
    """``/regex/``, ``/json/pointer=value`` (the value is JSON, or else text), or a substring."""
    if len(text) > 2 and text[0] == text[-1] == "/":
        return BodyExpectation(matches=text[1:-1])
    if text.startswith("/") and "=" in text:
        pointer, _, value = text.partition("=")
        return BodyExpectation(pointer=pointer, equals=_json(value))
    if not text:
        raise ArgumentTypeError("an empty text is in every body: say a substring, /regex/ or /pointer=value")
    return BodyExpectation(contains=text)


def _json(value: str) -> str:
    import json

    try:
        json.loads(value)
    except ValueError:
        return json.dumps(value)
    return value
