"""What a preStop hook really does: how long it delays, whether it stops the server, whether it can run at all.

Law: the kubelet runs an exec hook without a shell; a failing hook is only an event and the stop signal follows at
once (kubelet executePreStopHook). A command that cannot be seen through delays by an unknown time and is not judged.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from lameduck.manifests.durations import duration
from lameduck.manifests.programs import SHELLS, base
from lameduck.manifests.unwrap import shell_code
from lameduck.manifests.workloads import Container
from lameduck.manifests.yamlnode import Node

if TYPE_CHECKING:
    from lameduck.manifests.shell import Statement


class HookKind(StrEnum):
    """Which action a hook has."""

    NONE = "none"
    SLEEP = "sleep"
    EXEC = "exec"
    HTTP = "httpGet"
    TCP = "tcpSocket"
    BROKEN = "broken"


@dataclass(frozen=True, slots=True)
class Hook:
    """One preStop hook."""

    kind: HookKind
    node: Node
    argv: tuple[str, ...] = ()
    seconds: float | None = 0
    """How long it takes; None when that cannot be told."""
    delay: float | None = 0
    """How long it waits before it stops anything; None when that cannot be told."""
    stops: str = ""
    """What stops the server, as written; "" when nothing does."""
    broken: str = ""
    """Why it cannot do what was meant; "" when it can."""
    meant: float | None = None
    """The seconds that were meant: of a broken sleep, or of one that comes after the server was stopped."""
    pure_sleep: bool = False

    @property
    def delays(self) -> bool:
        """Whether it gives time to leave the endpoints, or may do so."""
        return not self.broken and (self.delay is None or self.delay > 0)


_SHUTDOWN = re.compile(
    r"/(shutdown|quit|quitquitquit|exit|stop|terminate|kill|graceful[-_]?shutdown|prestop/stop)\b", re.I
)


def hook_of(container: Container) -> Hook:
    """A container's preStop hook."""
    node = container.pre_stop
    if not node or node.is_null:
        return Hook(HookKind.NONE, node)
    if node["sleep"]:
        return _native(node["sleep"])
    if node["exec"]:
        return _exec(node["exec"])
    if node["httpGet"]:
        return _http(node["httpGet"])
    if node["tcpSocket"]:
        return Hook(HookKind.TCP, node, broken="tcpSocket is not supported for hooks: it does nothing")
    if not node.keys():
        return Hook(HookKind.NONE, node)
    return Hook(HookKind.BROKEN, node, broken=_misnamed(node), meant=_meant(node))


def _misnamed(node: Node) -> str:
    names = ", ".join(node.keys()) or "nothing"
    return f"preStop has {names} where exec, httpGet or sleep belongs"


def _meant(node: Node) -> float | None:
    words = node["command"].strings or ()
    found = node["seconds"].integer
    if found is not None:
        return float(found)
    return next(
        (number for word in words if (number := duration(word.split()[-1] if word.split() else "")) is not None), None
    )


def _native(node: Node) -> Hook:
    seconds = node["seconds"].integer
    if seconds is None:
        number = duration(node.string or "")
        if node.string is not None:
            return Hook(HookKind.SLEEP, node, broken="sleep needs a field: seconds", meant=number)
        return Hook(HookKind.SLEEP, node, seconds=None, delay=None)
    return Hook(HookKind.SLEEP, node, seconds=seconds, delay=seconds, pure_sleep=True)


def _http(node: Node) -> Hook:
    path = node["path"].string or "/"
    if _SHUTDOWN.search(path):
        return Hook(HookKind.HTTP, node, seconds=None, delay=0, stops=f"GET {path}")
    return Hook(HookKind.HTTP, node, seconds=None, delay=None)


def _exec(node: Node) -> Hook:
    command = node["command"]
    if node["sleep"] or node["seconds"]:
        inner = node["sleep"]["seconds"].integer or node["seconds"].integer
        return Hook(HookKind.EXEC, node, broken="sleep is not a field of exec: it belongs beside it", meant=inner)
    if command.string is not None:
        words = command.string.split()
        meant = duration(words[-1]) if words and base(words[0]) == "sleep" else None
        return Hook(HookKind.EXEC, node, broken="command must be a list of words", meant=meant)
    argv = command.strings or ()
    if not argv:
        return Hook(HookKind.EXEC, node, argv, seconds=None, delay=None)
    return _command(node, argv)


def _command(node: Node, argv: tuple[str, ...]) -> Hook:
    name = base(argv[0])
    if len(argv) == 1 and re.search(r"\s", argv[0].strip()):
        words = argv[0].split()
        meant = duration(words[1]) if base(words[0]) == "sleep" and len(words) > 1 else None
        return Hook(
            HookKind.EXEC,
            node,
            argv,
            broken=f"no program is called {argv[0]!r}: each word needs its own item",
            meant=meant,
        )
    if name == "sleep":
        return _sleep(node, argv)
    if name in SHELLS:
        return _shell(node, argv)
    stops = _stops(argv)
    return Hook(HookKind.EXEC, node, argv, seconds=None, delay=0 if stops else None, stops=stops)


def _sleep(node: Node, argv: tuple[str, ...]) -> Hook:
    numbers = [duration(word) for word in argv[1:]]
    if not numbers:
        return Hook(HookKind.EXEC, node, argv, broken="sleep without a number fails at once")
    if any(word.startswith("$") for word in argv[1:]):
        return Hook(HookKind.EXEC, node, argv, broken="no shell expands variables here: sleep fails at once")
    if None in numbers:
        odd = next(word for word in argv[1:] if duration(word) is None)
        return Hook(HookKind.EXEC, node, argv, broken=f"sleep cannot read {odd!r} and fails at once", meant=numbers[0])
    if float("inf") in numbers:
        return Hook(HookKind.EXEC, node, argv, seconds=None, delay=None)
    total = sum(number for number in numbers if number is not None)
    return Hook(HookKind.EXEC, node, argv, seconds=total, delay=total, pure_sleep=True)


def _shell(node: Node, argv: tuple[str, ...]) -> Hook:
    found = shell_code(argv)
    if found is None:
        words = argv[1].split() if len(argv) > 1 else []
        if len(words) > 1 and base(words[0]) == "sleep":
            return Hook(
                HookKind.EXEC,
                node,
                argv,
                broken="without -c the shell looks for a file of that name",
                meant=duration(words[1]),
            )
        if argv[1:2] == ("sleep",):
            meant = duration(argv[2]) if len(argv) > 2 else None
            return Hook(
                HookKind.EXEC, node, argv, broken="without -c the shell looks for a file of that name", meant=meant
            )
        return Hook(HookKind.EXEC, node, argv, seconds=None, delay=None)
    _, code, rest = found
    position = argv.index(code)
    extra = argv[position + 1 :]
    if code.strip() in {"sleep", "/bin/sleep", "exec sleep"}:
        meant = next((number for word in extra if (number := duration(word)) is not None), None)
        return Hook(
            HookKind.EXEC,
            node,
            argv,
            broken="sleep runs without a number: the words behind -c's code are $0, $1 …",
            meant=meant,
        )
    del rest
    watch = _Watch()
    from lameduck.manifests.shell import parse_words  # noqa: PLC0415  most hooks need no shell

    watch.block(parse_words(code))
    return Hook(
        HookKind.EXEC,
        node,
        argv,
        seconds=None if watch.unknown else watch.slept,
        delay=watch.before if watch.stops else None if watch.unknown else watch.slept,
        stops=watch.stops,
        broken=watch.broken,
        meant=watch.meant or (watch.slept if watch.stops else None) or None,
        pure_sleep=watch.only_sleeps and watch.slept > 0,
    )


class _Watch:
    """Adds up what the commands of a hook do."""

    def __init__(self) -> None:
        self.slept: float = 0
        self.before: float | None = 0
        self.unknown = False
        self.stops = ""
        self.broken = ""
        self.meant: float | None = None
        self.only_sleeps = True

    def block(self, statements: tuple[Statement, ...]) -> None:
        for one in statements:
            self.statement(one)

    def statement(self, one: Statement) -> None:
        if one.background:
            self.only_sleeps = False
            return
        if one.kind == "command":
            self.command(one.words)
        elif one.kind in {"loop", "branch", "pipeline"}:
            self.only_sleeps = False
            for way in one.branches:
                self.block(way.condition)
                self.block(way.body)
            if one.kind == "pipeline":
                self.block(one.body)
            else:
                self.unknown = True
        elif one.kind != "function":
            self.block(one.body)

    def command(self, words: tuple[str, ...]) -> None:
        if not words:
            return
        argv = words[1:] if words[0] in {"exec", "command", "sudo"} else words
        name = base(argv[0]) if argv else ""
        if argv and re.match(r"sleep\s", name):  # sh -c "'sleep 10'"
            self.broken = f"no program is called {argv[0]!r}: the quotes make one word of it"
            self.meant = duration(argv[0].split()[1])
        if name == "sleep":
            number = duration(argv[1]) if len(argv) > 1 else None
            if number is None or number == float("inf"):
                self.unknown = True
                if len(argv) == 1:
                    self.broken = "sleep without a number fails at once"
            else:
                self.slept += number
            return
        if name in {"echo", "printf", "true", ":", "touch", "date", "[", "test", "set", "rm"}:
            self.only_sleeps = False
            return
        self.only_sleeps = False
        if (stops := _stops(argv)) and not self.stops:
            self.stops = stops
            self.before = None if self.unknown else self.slept
        self.unknown = True


def _stops(argv: tuple[str, ...]) -> str:
    """The command that stops a server at once, as written; "" for one that is not known to."""
    name, words = base(argv[0]), argv[1:]
    line = " ".join(argv)
    if name in {"nginx", "openresty"} and "-s" in words:
        return line if {"quit", "stop"} & set(words) else ""
    if name == "kill":
        return "" if "-0" in words or {"-HUP", "-1", "-USR2", "-USR1"} & set(words[:1]) else line
    if name in {"pkill", "killall"}:
        return line
    if name in {"apachectl", "apache2ctl", "httpd", "apache2"}:
        return line if {"stop", "graceful-stop"} & set(words) else ""
    if name in {"supervisorctl", "service", "systemctl", "catalina.sh", "pm2", "s6-svc"}:
        return line if {"stop", "shutdown", "-d"} & set(words) else ""
    if name in {"curl", "wget"}:
        return line if _SHUTDOWN.search(line) else ""
    return ""
