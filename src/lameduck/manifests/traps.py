"""What a trap's handler does when the stop signal comes: forward, wait, exit, kill, or something that cannot be seen.

Law: a handler that runs an unknown command is opaque, and an opaque handler is never blamed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from lameduck.manifests.programs import base, words
from lameduck.manifests.shell import Kind, Statement, parse_words
from lameduck.manifests.signals import signal_name

_STOPPERS = re.compile(
    r"(nginx|apachectl|apache2ctl|httpd|supervisorctl|rabbitmqctl|redis-cli|pg_ctl|catalina\.sh|mysqladmin|nodetool|service|"
    r"systemctl|kafka-server-stop(\.sh)?|zkServer\.sh|s6-svscanctl|start-stop-daemon|mongod|varnishadm|uwsgi|su|gosu|sudo)\Z"
)
_HARMLESS = words("echo printf : true false rm sleep date touch export unset logger test [ local set return cat sync")


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


def trap_of(statement: Statement, functions: Mapping[str, tuple[Statement, ...]]) -> Trap | None:
    """The trap that a ``trap`` command sets; None for one that prints or resets."""
    words = [word for word in statement.words[1:] if word != "--"]
    if len(words) < 2 or words[0] in {"-", "-p", "-l"}:
        return None
    signals = tuple(name for name in map(signal_name, words[1:]) if name)
    code = words[0]
    body = functions.get(code.strip()) or parse_words(code)
    return Trap(statement.start, statement.end, signals, code, not code.strip(), handler_of(body, functions))


def reset_signals(statement: Statement) -> tuple[str, ...]:
    """The signals whose traps a ``trap - SIG`` command takes away."""
    words = [word for word in statement.words[1:] if word != "--"]
    if len(words) == 1 and words[0] != "-":
        return (signal_name(words[0]),)
    return tuple(map(signal_name, words[1:])) if words[:1] == ["-"] else ()


def handler_of(body: tuple[Statement, ...], functions: Mapping[str, tuple[Statement, ...]], depth: int = 0) -> Handler:
    """What the statements of a handler do, functions included."""
    forwards, waits, exits, kills, group, resets, opaque = "", False, False, False, False, False, False
    for statement in _flat(body):
        words = statement.words
        if not words:
            continue
        name = base(words[0])
        if name in {"kill", "pkill", "killall"}:
            signal, whole = _kill(words)
            if signal == "0":
                continue
            if whole and not resets:
                group = True
            if signal == "KILL" and not forwards:
                kills = True
            elif signal != "KILL":
                forwards = signal
        elif name == "wait" or (name in {"tail"} and any(word.startswith("--pid") for word in words)):
            waits = True
        elif name == "exit":
            exits = True
        elif name == "trap":
            resets = resets or bool(reset_signals(statement)) or (len(words) > 2 and not words[1].strip())
        elif name in functions and depth < 8:
            inner = handler_of(functions[name], functions, depth + 1)
            forwards = inner.forwards or forwards
            waits, exits, kills = waits or inner.waits, exits or inner.exits, kills or inner.kills
            group, resets, opaque = group or inner.group, resets or inner.resets, opaque or inner.opaque
        elif _STOPPERS.match(name) or name not in _HARMLESS:
            opaque = True
    return Handler(forwards, waits, exits, kills and not forwards, group, resets, opaque)


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
