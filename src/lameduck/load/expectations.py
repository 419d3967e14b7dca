"""Whether a whole answer is the one that was expected.

Law: a body is judged only when the answer is whole and its status right, and is kept only where an expectation needs
it, up to `KEEP` bytes. A failure's detail names what was expected, never what came: bodies are not stored.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from lameduck.core.errors import UsageError
from lameduck.core.plan import BodyExpectation

KEEP = 1 << 22
"""How much of a body an expectation sees, in bytes."""

Check = Callable[[bytes | bytearray], str]
"""Of a body: what is wrong with it, "" for nothing."""


def statuses(expected: tuple[range, ...]) -> bytes:
    """A table by status: 1 where it is expected."""
    return bytes(any(status in each for each in expected) for status in range(1000))


def check(expected: BodyExpectation | None) -> Check | None:
    """The check of a body expectation; `UsageError` for a bad pattern, pointer or JSON."""
    if expected is None:
        return None
    if expected.contains:
        return _contains(expected.contains)
    if expected.matches:
        return _matches(expected.matches)
    return _equals(expected.pointer, expected.equals)


def _contains(text: str) -> Check:
    wanted, detail = text.encode(), f"the body lacks {text!r}"
    return lambda body: "" if wanted in body else detail


def _matches(pattern: str) -> Check:
    try:
        wanted = re.compile(pattern)
    except re.error as error:
        raise UsageError(f"the expected body /{pattern}/ is not a regular expression: {error}") from None
    detail = f"the body does not match /{pattern}/"
    return lambda body: "" if wanted.search(body.decode("utf-8", "replace")) else detail


def _equals(pointer: str, equals: str) -> Check:
    try:
        wanted = json.loads(equals)
    except ValueError:
        raise UsageError(f"the expected value {equals!r} of {pointer or 'the body'} is not JSON") from None
    steps = _steps(pointer)
    detail = f"{pointer or 'the body'} is not {equals}"

    def judge(body: bytes | bytearray) -> str:
        try:
            found = _follow(json.loads(body), steps)
        except ValueError:
            return "the body is not JSON"
        except (KeyError, IndexError, TypeError):
            return f"the body has no {pointer}"
        return "" if _same(found, wanted) else detail

    return judge


def _steps(pointer: str) -> list[str]:
    """The reference tokens of a JSON pointer (RFC 6901, section 4)."""
    if not pointer:
        return []
    if not pointer.startswith("/"):
        raise UsageError(f"the JSON pointer {pointer!r} must be empty or start with '/'")
    return [step.replace("~1", "/").replace("~0", "~") for step in pointer[1:].split("/")]


def _follow(value: Any, steps: list[str]) -> Any:
    for step in steps:
        if isinstance(value, list):
            if not re.fullmatch(r"0|[1-9][0-9]*", step):
                raise KeyError(step)
            value = value[int(step)]
        elif isinstance(value, dict):
            value = value[step]
        else:
            raise TypeError
    return value


def _same(found: Any, wanted: Any) -> bool:
    """JSON equality: true is not 1, deep down too."""
    if isinstance(found, bool) or isinstance(wanted, bool):
        return found is wanted
    if isinstance(found, list) and isinstance(wanted, list):
        return len(found) == len(wanted) and all(map(_same, found, wanted))
    if isinstance(found, dict) and isinstance(wanted, dict):
        return found.keys() == wanted.keys() and all(_same(found[key], wanted[key]) for key in found)
    return bool(found == wanted)
