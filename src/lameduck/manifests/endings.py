"""The points where a script runs its server: in which way, under which traps, with which waits behind it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from lameduck.manifests.shell import Statement
from lameduck.manifests.traps import Trap


class Way(StrEnum):
    """How a script runs its server."""

    EXEC = "exec"
    FOREGROUND = "foreground"
    PIPE = "pipe"
    LOOP = "loop"
    WAIT = "wait"
    ABANDONED = "abandoned"
    """In the background, and the script ends."""
    TAIL = "tail"
    """In the background, and the script follows a file or sleeps."""
    UNSEEN = "unseen"
    """A sourced file that is not in the input goes on."""


@dataclass(frozen=True, slots=True)
class Wait:
    """One ``wait``: where, whether errexit is kept from ending the script there, and whether a loop repeats it."""

    start: int
    end: int
    guarded: bool
    errexit: bool
    looped: bool
    traps: tuple[Trap, ...]
    """The traps in force."""


@dataclass(frozen=True, slots=True)
class Ending:
    """One point where a server runs: its command line, its place, and what surrounds it."""

    way: Way
    argv: tuple[str, ...]
    start: int
    end: int
    word_start: int
    known: bool
    """Whether the command is known to serve, rather than being the last one that could."""
    traps: tuple[Trap, ...] = ()
    waits: tuple[Wait, ...] = ()
    after: tuple[Statement, ...] = ()
    statement: Statement | None = None
    subshell: bool = False
    """Whether it runs in a subshell, where exec does not help."""
    branch: bool = False
    company: tuple[tuple[str, ...], ...] = ()
    """The command lines of the other jobs that run in the background here."""
    child: bool = False
    """Whether it is the child of a function in the background: the signal ends that shell, not it."""
