"""The chain from PID 1 to the server: every link with what it does to the stop signal, and the troubles that follow.

Law: the chain is followed only as far as it can be seen; its last link is the server, or "unknown". A trouble is
stated only where the tables and the script decide it. `walking` does the following.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from lameduck.core.finding import Confidence
from lameduck.manifests.launch import Launch
from lameduck.manifests.programs import Does, Server, base
from lameduck.manifests.text import Text

if TYPE_CHECKING:
    from lameduck.manifests.endings import Ending
    from lameduck.manifests.flow import Flow
    from lameduck.manifests.shell import Script
    from lameduck.manifests.traps import Trap


class Trouble(StrEnum):
    """What can go wrong on the way of the stop signal; each is one defect."""

    SWALLOWED = "swallowed"
    INIT_SHELL = "init before a shell that does not exec"
    TRAP_FOREGROUND = "trap, server in the foreground"
    INTERRUPTED = "interrupted wait"
    NOT_FORWARDED = "handler does not forward"
    IGNORED = "ignored"
    PIPE = "pipeline"
    STORM = "signal storm"
    WRAPPER = "wrapper"
    TAIL = "tail"
    OTHER_SIGNAL = "another signal is trapped"
    SHELL_FORM = "shell form"
    LAUNCHER = "launcher"


@dataclass(frozen=True, slots=True)
class Link:
    """One process on the way, by its command line, and what it does with the stop signal."""

    label: str
    does: Does
    note: str = ""
    text: Text | None = None
    start: int = 0
    end: int = 0


@dataclass(frozen=True, slots=True)
class Problem:
    """One trouble at one place, with what a message and a fix need."""

    trouble: Trouble
    text: Text
    start: int
    end: int
    argv: tuple[str, ...] = ()
    shell: str = "sh"
    init: str = ""
    """The init that stands before it, "" for none."""
    signal: str = "TERM"
    confidence: Confidence = Confidence.CERTAIN
    ending: Ending | None = None
    trap: Trap | None = None
    script: Script | None = None
    note: str = ""
    replaced: bool | None = False
    """Of a shell form: whether the shell replaces itself; None when its shell is unknown."""
    in_code: bool = False
    """Whether the shell text is a ``-c`` string rather than a file."""


@dataclass(slots=True)
class Chain:
    """The links from PID 1 on, the troubles, and the server at the end."""

    launch: Launch
    links: list[Link] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    server: Server | None = None
    server_argv: tuple[str, ...] = ()
    server_at: tuple[Text, int, int] | None = None
    server_signal: str | None = None
    """The signal that reaches the server, None when that cannot be told."""
    supervisor: bool = False
    missing_script: str = ""
    """A start script that is named and could not be found in the input."""
    texts: list[Text] = field(default_factory=list)
    """The scripts that were read."""
    scripts: list[tuple[Script, Flow]] = field(default_factory=list)

    @property
    def seen(self) -> bool:
        """Whether the chain could be followed to its end."""
        return bool(self.links) and self.links[-1].does is not Does.UNKNOWN

    @property
    def init(self) -> str:
        """The init of the chain, "" without one."""
        return next((base(link.label.split()[0]) for link in self.links if link.note == "init"), "")
