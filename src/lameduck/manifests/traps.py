"""What a trap's handler does when the stop signal comes: forward, wait, exit, kill, or something that cannot be seen.

Law: a handler that runs an unknown command is opaque, and an opaque handler is never blamed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import takewhile

from lameduck.manifests.durations import duration
from lameduck.manifests.programs import base, words
from lameduck.manifests.shell import Kind, Statement, parse_words
from lameduck.manifests.signals import signal_name

_STOPPERS = re.compile(
    r"(nginx|apachectl|apache2ctl|httpd|supervisorctl|rabbitmqctl|redis-cli|pg_ctl|catalina\.sh|mysqladmin|nodetool|service|"
    r"systemctl|kafka-server-stop(\.sh)?|zkServer\.sh|s6-svscanctl|start-stop-daemon|mongod|varnishadm|uwsgi|su|gosu|sudo)\Z"
)
_GONE = re.compile(r"kill -0|/proc/\$|pgrep|pidof|ps -p")
NAP = 5
"""Seconds of sleep from which on a handler or script is taken to wait for the server."""
_HARMLESS = words(
    "jobs echo printf : true false rm sleep date touch export unset logger test [ local set return cat sync"
)


@dataclass(frozen=True, slots=True)
class Handler:
    """What one handler does."""

    forwards: str = ""
    """The signal it sends to the server: a name, or "" when it sends none."""
    waits: bool = False
    exits: bool = False
    kills: bool = False
    """Whether it sends KILL."""
    group: bool = False
    """Whether it signals its own process group, itself included."""
    resets: bool = False
    """Whether it resets its own trap first."""
    prefixed: bool = False
    """Whether its kill says SIGTERM, which dash's kill refuses."""
    opaque: bool = False


@dataclass(frozen=True, slots=True)
class Trap:
    """One trap command: its place, its signals, and its handler; ``ignores`` for ``trap '' SIG``."""

    start: int
    end: int
    signals: tuple[str, ...]
    code: str
    ignores: bool
    handler: Handler
    written: tuple[str, ...] = ()
    """The signals as they are written."""

    def taken(self, shell: str) -> tuple[str, ...]:
        """The signals that a shell takes. dash knows no SIGTERM: it refuses the first such word, and stops there."""
        if shell != "dash":
            return self.signals
        known = tuple(takewhile(lambda word: not word.upper().startswith("SIG"), self.written))
        return tuple(signal_name(word) for word in known)


def trap_of(statement: Statement, functions: Mapping[str, tuple[Statement, ...]]) -> Trap | None:
    """The trap that a ``trap`` command sets; None for one that prints or resets."""
    words = [word for word in statement.words[1:] if word != "--"]
    if len(words) < 2 or words[0] in {"-", "-p", "-l"}:
        return None
    signals = tuple(name for name in map(signal_name, words[1:]) if name)
    code = words[0]
    body = functions.get(code.strip()) or parse_words(code)
    handler = handler_of(body, functions)
    return Trap(statement.start, statement.end, signals, code, not code.strip(), handler, tuple(words[1:]))


def reset_signals(statement: Statement) -> tuple[str, ...]:
    """The signals whose traps a ``trap - SIG`` command takes away."""
    words = [word for word in statement.words[1:] if word != "--"]
    if len(words) == 1 and words[0] != "-":
        return (signal_name(words[0]),)
    return tuple(map(signal_name, words[1:])) if words[:1] == ["-"] else ()


def handler_of(body: tuple[Statement, ...], functions: Mapping[str, tuple[Statement, ...]], depth: int = 0) -> Handler:
    """What the statements of a handler do, functions included."""
    total = Handler()
    for statement in _flat(body):
        if statement.words:
            total = together(total, _does(statement, functions, depth, total.resets))
    return replace(total, waits=True) if _polls(body) else total


def _polls(body: tuple[Statement, ...]) -> bool:
    """Whether a handler looks again and again until the server is gone: ``while kill -0 $pid; do sleep 1; done``."""
    return any(
        (one.kind is Kind.LOOP and bool(_GONE.search(one.name)))
        or _polls(one.body)
        or any(_polls(way.body) for way in one.branches)
        for one in body
    )


def together(first: Handler, then: Handler) -> Handler:
    """What two handlers do, one after the other: a handler and the EXIT trap that follows it, for one."""
    forwards = then.forwards or first.forwards
    return Handler(
        forwards,
        waits=first.waits or then.waits,
        exits=first.exits or then.exits,
        kills=(first.kills or then.kills) and not forwards,
        group=first.group or then.group,
        resets=first.resets or then.resets,
        prefixed=first.prefixed or then.prefixed,
        opaque=first.opaque or then.opaque,
    )


def _does(statement: Statement, functions: Mapping[str, tuple[Statement, ...]], depth: int, resets: bool) -> Handler:
    """What one command of a handler does; ``resets``: whether the trap was taken away before."""
    words, name = statement.words, base(statement.words[0])
    if name == "xargs" and "kill" in words:  # jobs -p | xargs kill
        words, name = (*words[words.index("kill") :], "$(jobs -p)"), "kill"
    if name in {"kill", "pkill", "killall"}:
        signal, whole = _kill(words)
        if signal == "0":
            return Handler()
        prefixed = name == "kill" and any(re.match(r"-?SIG", word, re.IGNORECASE) for word in words[1:3])
        kills = signal == "KILL"
        return Handler("" if kills else signal, kills=kills, group=whole and not resets, prefixed=prefixed)
    if name == "wait" or (name == "tail" and any(word.startswith("--pid") for word in words)) or naps(words):
        return Handler(waits=True)
    if name == "exit":
        return Handler(exits=True)
    if name == "trap":
        return Handler(resets=bool(reset_signals(statement)) or (len(words) > 2 and not words[1].strip()))
    if name in functions and depth < 8:
        return handler_of(functions[name], functions, depth + 1)
    if statement.writes:  # echo stop > /run/console
        return Handler(opaque=True)
    return Handler(opaque=bool(_STOPPERS.match(name)) or name not in _HARMLESS)


def naps(words: tuple[str, ...]) -> bool:
    """Whether a command sleeps long enough to be a drain window of its own."""
    return len(words) > 1 and base(words[0]) == "sleep" and (duration(words[1]) or 0) >= NAP


def _flat(body: tuple[Statement, ...]) -> list[Statement]:
    found = []
    for statement in body:
        if statement.kind is Kind.COMMAND:
            found.append(statement)
        elif statement.kind is not Kind.FUNCTION:
            if statement.kind is not Kind.LOOP:
                found += _flat(statement.body)
            for branch in statement.branches:
                found += _flat(branch.condition) + _flat(branch.body)
    return found


def _kill(words: tuple[str, ...]) -> tuple[str, bool]:
    """The signal that a kill command sends, and whether its own process group gets it."""
    signal, at = "TERM", 1
    targets: list[str] = []
    while at < len(words):
        word = words[at]
        if word in {"-s", "-n", "--signal"} and at + 1 < len(words):
            signal, at = signal_name(words[at + 1]) or "same", at + 1
        elif word == "--":
            targets += words[at + 1 :]
            break
        elif at == 1 and word.startswith("-") and len(word) > 1:
            if word == "-0":
                return "0", False
            signal = signal_name(word[1:]) or ("same" if "$" in word else "TERM")
        else:
            targets.append(word)
        at += 1
    if not targets:
        return "0", False  # nobody is told
    whole = any(target in {"0", "-0", "-$$", "-${$}", "-$BASHPID"} for target in targets)
    return signal, whole
