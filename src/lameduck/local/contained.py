"""One container inside its pod's holder: its first process, what runs below it, and how it ended.

Law: a container is its first process; when that has ended nothing of it is left. Where it is process 1 of a PID
namespace the kernel sees to that, and to which signals reach it; elsewhere it is done by hand: by the holder for a
pod's only container, by a *keeper* (its parent, which adopts its orphans) for one among several.
"""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass, field
from typing import Any

from lameduck.local import processes

MOST_ENDS = 256
"""So many ends of processes are told of one container."""


@dataclass(slots=True)
class Contained:
    """A container as its holder knows it: `pid` is 0 while nothing of it runs."""

    name: str
    pid: int = 0
    pidfd: int = -1
    """Readable when it has ended: of the first process, or of its keeper."""
    inside: int = -1
    """A pidfd of the first process itself, whose namespaces can be joined."""
    keeper: int = 0
    """The process to wait for where that is not the first process itself."""
    below: set[int] = field(default_factory=set)
    """pidfds of what ran below the first process at its stop signal."""
    left_behind: int = 0
    cut_off: int = 0
    """How many of those the kernel is known to have killed, since the first process had ended."""
    untold: list[int] = field(default_factory=list)
    """pidfds of those that had ended, while the kernel did not tell yet by whose hand."""
    ends: list[int] = field(default_factory=list)
    """When processes below the first one ended, from the stop signal on."""
    caught: int = 0
    """The stop signal that it got, if it had a handler for it."""
    handler_gone: bool = False
    """It gave that handler up again, and lived on until SIGKILL."""

    def started(self, pid: int, below: int = 0) -> None:
        """Its first process runs: `pid`, or so many generations below that."""
        self.keeper = pid if below else 0
        self.pidfd = os.pidfd_open(pid)
        for _ in range(below):
            pid = next(iter(processes.children(pid)), 0)
        self.pid = pid
        self.inside = os.pidfd_open(pid)

    def watch_children(self) -> list[int]:
        """From the stop signal on: whom does the first process leave behind? New pidfds to be polled."""
        found = []
        for child in processes.descendants(self.pid):
            try:
                found.append(os.pidfd_open(child))
            except OSError:
                continue
        self.below.update(found)
        return found

    def child_ended(self, descriptor: int, at: int) -> None:
        """A process of it ended: after the first one had begun to end itself, and by the kernel's hand, it was left
        behind. One that ended by itself just before the first one was not, however late we look."""
        self.ends.append(at)
        self.below.discard(descriptor)
        if processes.ending(self.pid):
            self.untold.append(descriptor)  # it is told once somebody has reaped it
        else:
            os.close(descriptor)

    def _left_behind(self) -> None:
        for descriptor in self.untold:
            killed = processes.killed(descriptor)
            self.left_behind += killed is not False
            self.cut_off += killed is True
            os.close(descriptor)
        self.untold.clear()

    def kill(self) -> None:
        """SIGKILL the first process, and with it everything."""
        if self.pid:
            told = processes.reaction(self.pid, self.caught) if self.caught else {}
            self.handler_gone = not told.get("caught", True)
            os.kill(self.pid, signal.SIGKILL)

    def reap(self) -> tuple[int, dict[str, Any]]:
        """It has ended: its exit code, as a container runtime tells it, and what was seen of its end."""
        _, status = os.waitpid(self.keeper or self.pid, 0)
        os.close(self.pidfd)
        os.close(self.inside)
        self._left_behind()
        code = os.waitstatus_to_exitcode(status)
        told = {
            "left_behind": self.left_behind,
            "cut_off": self.cut_off,
            "process_ends": self.ends[-MOST_ENDS:],
            "handler_gone": self.handler_gone,
            "raised_again": bool(self.caught) and code == -self.caught,
        }
        self.pid, self.pidfd, self.inside, self.keeper = 0, -1, -1, 0
        self.left_behind, self.cut_off, self.ends, self.caught, self.handler_gone = 0, 0, [], 0, False
        return exit_code(code), told


def exit_code(code: int) -> int:
    """As a container runtime tells it: 128 + n for signal n."""
    return 128 - code if code < 0 else code
