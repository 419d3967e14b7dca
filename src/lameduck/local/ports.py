"""Which port of its pods the Service targets.

Laws: what the user named is taken; else `$PORT` is set and is it, if somebody listens there; else the one port that is
reached from outside the pod and has been the only one for a second; several are an error that names them. Where pods
share a network each gets a free port of its own.
"""

from __future__ import annotations

import random
import socket
from collections.abc import Callable, Sequence

from lameduck.core.instants import SECOND

QUIET = 1 * SECOND
"""So long must a port that is not `$PORT` have been the only one: others may open a moment later."""

Heard = Sequence[tuple[int, str, bool]]
"""What listens in a pod: (port, as text, whether it is reached from outside)."""


class PortChoice:
    """The choice for one Service. `chosen` is None until it is made."""

    def __init__(self, named: int | None, default: int) -> None:
        self.named = named
        self.chosen: int | None = named
        self.shared = False
        """Whether the pods share a network."""
        self._default = default
        self._own: dict[str, int] = {}
        self._alone: tuple[int, int] | None = None

    def assign(self, pod: str, free: Callable[[], int] | None) -> int:
        """The port that a new pod is told in `$PORT`."""
        port = free() if free is not None else self.chosen or self._default
        self._own[pod] = port
        return port

    def heard(self, listeners: Heard, now: int) -> str:
        """What listens in some pod changed; the sentence for the user if it cannot be decided, else ""."""
        if self.shared or self.named is not None:
            return ""
        reached = sorted({port for port, _, reached in listeners if reached})
        if self._default in reached:
            self.chosen = self._default
        elif len(reached) > 1:
            ports = ", ".join(map(str, reached))
            return f"the command listens on several ports ({ports}): say which one is the Service's with --port"
        elif reached and (self._alone is None or self._alone[0] != reached[0]):
            self._alone = (reached[0], now)
        return ""

    def of(self, pod: str, listeners: Heard, now: int) -> int:
        """A pod's port, 0 while it is not decided."""
        if self.shared:
            return self._own[pod]
        if self.chosen is None and self._alone is not None and now - self._alone[1] >= QUIET:
            port = self._alone[0]
            if any(reached and number == port for number, _, reached in listeners):
                self.chosen = port
        return self.chosen or 0


def elsewhere(pods: Sequence[tuple[int, Heard]]) -> str:
    """The sentence for pods that all serve, but some not at their port: (port, what listens) of each; else ""."""
    reached = [(port, {number for number, _, reached in heard if reached}) for port, heard in pods]
    astray = [(port, found) for port, found in reached if port not in found]
    if not astray or not all(found for _, found in reached):
        return ""
    others = " and ".join(map(str, sorted(set().union(*(found for _, found in astray)))))
    return (
        f"the pods are ready, but nobody listens on port {astray[0][0]}, where the Service sends: they listen on "
        f"{others}; mend its targetPort, or say --port"
    )


def free_port() -> int:
    """A TCP port that nobody uses now, outside of the range that outgoing connections take theirs from."""
    for _ in range(1000):
        port = random.randrange(20_000, 32_000)
        with socket.socket() as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                trial.bind(("0.0.0.0", port))
            except OSError:
                continue
            return port
    raise OSError("no free port between 20000 and 32000")
