"""The journal: one line for each milestone, on standard error, so that it stands in the pod's log.

Law: a line is one `write`, shorter than a pipe's atomic size where it can be, and never raises: a full disk or a closed
pipe must not end PID 1. Fields, in this order: ``lameduck`` (run, drain or sidecar), ``event``, ``message`` (a sentence
for people), ``time`` (UTC, microseconds), ``monotonic_ns`` (CLOCK_MONOTONIC, shared by all processes of a node),
``pod`` (the host name), then the event's own facts. The events and their facts are documented in docs/pod.md.

Written by hand since `json` would cost 1.4 MiB and 8 ms of each process that only ever writes a few flat lines.
"""

from __future__ import annotations

import os
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

ESCAPES = {i: f"\\u{i:04x}" for i in (*range(32), 127, 0x2028, 0x2029)}
ESCAPES.update({ord('"'): '\\"', ord("\\"): "\\\\", 10: "\\n", 9: "\\t", 13: "\\r"})
STYLES = ("auto", "json", "text", "none")


def encode(value: object) -> str:
    """JSON of None, bool, int, float, str, and of lists, tuples and dicts of them; of anything else, its text."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int):
        return str(int(value))
    if isinstance(value, float):
        return repr(value) if value - value == 0 else "null"  # JSON has neither NaN nor infinity
    if isinstance(value, dict):
        return "{" + ", ".join(f"{encode(str(k))}: {encode(v)}" for k, v in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(encode, value)) + "]"
    return '"' + str(value).encode("utf-8", "replace").decode().translate(ESCAPES) + '"'


def wall(nanoseconds: int) -> str:
    """``2026-11-25T04:09:13.123456Z`` of nanoseconds since the epoch."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(nanoseconds // 10**9)) + f".{nanoseconds % 10**9 // 1000:06}Z"


def pod_name() -> str:
    """This pod's name: its host name, or what LAMEDUCK_POD says (needed with hostNetwork, where it is the node's)."""
    return os.environ.get("LAMEDUCK_POD") or os.uname().nodename


class Journal:
    """Writes milestones to descriptors. `style`: json, text, none, or auto (text on a terminal)."""

    def __init__(self, part: str, style: str = "auto", descriptors: Iterable[int] = (2,)) -> None:
        self.part = part
        self.descriptors = tuple(descriptors)
        self.style = style if style != "auto" else "text" if self._on_terminal() else "json"
        self.pod = pod_name()

    def _on_terminal(self) -> bool:
        return any(os.isatty(fd) for fd in self.descriptors)

    def write(self, event: str, message: str, **facts: object) -> None:
        """One milestone, now."""
        if self.style == "none":
            return
        if self.style == "text":
            line = f"lameduck-pod {self.part}: {message}\n"
        else:
            head = {"lameduck": self.part, "event": event, "message": message}
            clock = {"time": wall(time.time_ns()), "monotonic_ns": time.monotonic_ns(), "pod": self.pod}
            line = encode({**head, **clock, **facts}) + "\n"
        for fd in self.descriptors:
            try:
                os.write(fd, line.encode("utf-8", "replace"))
            except OSError:
                continue
