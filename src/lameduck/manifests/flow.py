"""Follows a start script to every point where a server runs, and says how it runs there.

Law: statements are followed in order, both ways of a branch unless its condition is decided by known arguments. A way
ends where the shell is replaced (exec), or where it blocks in a foreground server. An unknown command counts as the
server only when nothing of weight comes after it, an interpreter only when no server does. The walk never guesses what
a sourced file does.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase

from lameduck.manifests.durations import duration
from lameduck.manifests.endings import Ending, Wait, Way
from lameduck.manifests.expansion import Words, evaluate
from lameduck.manifests.programs import base
from lameduck.manifests.shell import Branch, Kind, Script, Statement
from lameduck.manifests.traps import Trap, naps, reset_signals, trap_of
from lameduck.manifests.unwrap import innermost
from lameduck.manifests.weights import Weight, daemonises, runs_anything, serves_http, weight, works_alone

MAX_CALLS = 12
_ENDLESS = re.compile(r"(while (true|/bin/true|:|\[\[? (1|true) \]\]?|1|\(\( ?1 ?\)\))|until false|for)\s*$")
LONG = 60
"""Seconds of sleep from which on a script is taken to keep its container alive by it."""


@dataclass(slots=True)
class _Job:
    statement: Statement
    argv: tuple[str, ...]
    piped: bool
    known: bool
    inside: Statement | None
    """The server's own statement, where a function in the background runs it as a child."""


@dataclass(slots=True)
class Flow:
    """The walk over one script; ``endings`` is its result."""

    words: Words
    given: tuple[str, ...] | None
    """The script's own arguments, also while a function with others runs."""
    endings: list[Ending] = field(default_factory=list)
    errexit: bool = False
    traps: dict[str, Trap] = field(default_factory=dict)
    jobs: list[_Job] = field(default_factory=list)
    waits: list[Wait] = field(default_factory=list)
    functions: dict[str, tuple[Statement, ...]] = field(default_factory=dict)
    candidate: tuple[Statement, tuple[str, ...], bool] | None = None
    daemons: list[tuple[str, ...]] = field(default_factory=list)
    """The command lines that left a daemon behind."""
    left: bool = False
    """Whether a branch has ended the script while a job was waited for."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables that are set to a constant before the script starts."""
    root: bool | None = None
    """Whether the script runs as root; None when that is not known."""
    jobs_later: frozenset[str] = frozenset()
    """Variables that hold a background job's number, somewhere in the script."""
    ahead: list[tuple[Statement, ...]] = field(default_factory=list)
    """What is still to come, in this block and in those around it."""
    calls: int = 0
    loops: int = 0
    rounds: int = 0
    """Those of the loops that end by themselves: over files, until something is ready."""
    branches: int = 0
    setup: list[Statement] = field(default_factory=list)
    """Foreground commands that ran before the server: the set-up."""

    def block(self, statements: tuple[Statement, ...]) -> bool:
        """Follow statements; whether the way surely ends among them."""
        for statement in statements:
            if statement.kind is Kind.FUNCTION:
                self.functions[statement.name] = statement.body
        for index, statement in enumerate(statements):
            self.ahead.append(statements[index + 1 :])
            ended = self.step(statement, statements[index + 1 :])
            self.ahead.pop()
            if ended:
                return True
        return False

    def step(self, statement: Statement, after: tuple[Statement, ...] = (), guarded: bool = False) -> bool:
        """Follow one statement; whether the way surely ends there."""
        if statement.background or (statement.words[:1] == ("eval",) and statement.words[-1] == "&"):
            self.launch(statement)
            return False
        match statement.kind:
            case Kind.COMMAND:
                return self.command(statement, after, guarded)
            case Kind.PIPELINE:
                return self.pipeline(statement, after)
            case Kind.AND | Kind.OR:
                return self.either(statement, after)
            case Kind.BRANCH:
                return self.branch(statement, after)
            case Kind.LOOP:
                return self.loop(statement)
            case Kind.GROUP:
                return self.block(statement.body)
            case Kind.SUBSHELL:
                return self.subshell(statement)
            case _:
                return False

    def either(self, statement: Statement, after: tuple[Statement, ...]) -> bool:
        """Both sides of ``&&`` or ``||``: the first is always run."""
        first, *rest = statement.body
        self.ahead.append(tuple(rest))
        surely = self.step(first, (), guarded=True)
        self.ahead.pop()
        for one in rest:
            if self.jobs and one.words[:1] in {("exit",), ("return",)}:
                continue  # `check || exit 1`: what runs in the background is waited for on the other way
            self.step(one, after, guarded=statement.kind is Kind.OR)
        return surely

    def branch(self, statement: Statement, after: tuple[Statement, ...]) -> bool:
        """The ways of an if or case that can be taken."""
        chosen, decided = self._ways(statement)
        surely = bool(chosen) and (decided or statement.complete)
        self.branches += 1
        for way in chosen:
            saved_args, candidate = self.words.args, self.candidate
            self.ahead.append(way.body)
            for one in way.condition:
                self.step(one, (), guarded=True)
            self.ahead.pop()
            jobs, waits = list(self.jobs), list(self.waits)
            ends = self.block(way.body) or _exits(way.body)
            if ends:  # what comes after the branch is reached by other ways only
                self.jobs, self.waits = jobs, waits
            surely = surely and ends
            if ends and self.candidate is not candidate:
                self.candidate = candidate  # an unknown command in a way that ends by itself was a one-off
            if not decided:
                self.words.args = saved_args
        self.branches -= 1
        if surely and not after:
            return True
        return surely

    def _ways(self, statement: Statement) -> tuple[list[Branch], bool]:
        """The ways that can be taken, and whether the arguments decide for exactly one."""
        ways: list[Branch] = []
        for way in statement.branches:
            taken = self._taken(statement, way)
            if taken is None:
                ways.append(way)
            elif taken:
                ways.append(way)
                return ways, len(ways) == 1
        return ways, False

    def _taken(self, statement: Statement, way: Branch) -> bool | None:
        if way.patterns:
            variable = re.fullmatch(r"\$\{?(\w+)(?::?-)?\}?", statement.name)
            word = self.words.argument(statement.name)
            if word is None and variable is not None:
                word = self._known().get(variable[1])
            return None if word is None else any(fnmatchcase(word, pattern) for pattern in way.patterns)
        return True if not way.test else evaluate(way.test, self.words.args, self.root, self._known())

    def _known(self) -> dict[str, str]:
        """The image's and the container's variables that the script has not set, as far as can be seen."""
        if any(one.words[0] in {".", "source"} for one in self.setup):
            return {}
        return {name: value for name, value in self.environment.items() if name not in self.words.variables}

    def loop(self, statement: Statement) -> bool:
        """A loop: what it starts in the foreground it starts again and again."""
        way = statement.branches[0]
        if self.waits and re.search(r"kill -0|/proc/\$", way.test):
            place = statement.start, statement.end
            self.waits.append(Wait(*place, guarded=True, errexit=False, looped=True, traps=self._in_force()))
        endless = bool(_ENDLESS.match(way.test))
        known = len(self.endings)
        self.loops += 1
        self.rounds += not endless
        for one in way.condition:
            self.step(one, (), guarded=True)
        candidate = self.candidate
        surely = self.block(statement.body)
        self.loops -= 1
        self.rounds -= not endless
        repeated = way.test.startswith(("while", "until", "for"))
        for index in range(known, len(self.endings)):
            ending = self.endings[index]
            if ending.way is Way.FOREGROUND and repeated and ending.known:
                self.endings[index] = replace(ending, way=Way.LOOP)
        served = any(ending.way is not Way.ABANDONED for ending in self.endings[known:])
        alone = self.candidate is candidate and not served and not self.waits and not self.traps
        keeps = (endless or way.test.startswith("while sleep ")) and self.loops == 0 and self.branches == 0
        if keeps and alone and (self.jobs or self.daemons):
            self.tail(statement)
            return True
        if endless and self.candidate is not candidate and self.candidate is not None:
            one, argv, _ = self.candidate
            self.end(Way.LOOP, argv, one, known=False)
            return True
        return surely and endless

    def subshell(self, statement: Statement) -> bool:
        """A subshell: exec replaces only itself, and its traps and waits are not those of PID 1."""
        known, jobs, waits, traps = len(self.endings), len(self.jobs), len(self.waits), dict(self.traps)
        self.block(statement.body)
        self.traps = traps
        started, waited = self.jobs[jobs:], len(self.waits) > waits
        del self.jobs[jobs:], self.waits[waits:]
        if started and waited:
            self.end(Way.FOREGROUND, started[-1].argv, statement, known=started[-1].known)
        for index in range(known, len(self.endings)):
            ending = self.endings[index]
            way = Way.FOREGROUND if ending.way in {Way.EXEC, Way.WAIT} else ending.way
            self.endings[index] = replace(ending, way=way, traps=self._in_force(), subshell=True)
        return len(self.endings) > known

    def pipeline(self, statement: Statement, after: tuple[Statement, ...]) -> bool:
        """A pipeline: none of its commands is PID 1."""
        for one in statement.body:
            for command in _commands(one) if one.kind is not Kind.LOOP else ():
                argv, _ = self.words.strip(command)
                if weight(argv) is Weight.SERVER or (argv and command.words[0] == "exec"):
                    self.end(Way.PIPE, argv, statement, after=after)
                    return True
        first = next(iter(_commands(statement.body[0])), None) if statement.body else None
        if (
            first is not None
            and statement.body[-1].words[:1] == ("tee",)
            and weight(self.words.expand(first.words)) is Weight.UNKNOWN
        ):
            self.candidate = (statement, self.words.expand(first.words), True)
        return False

    def launch(self, statement: Statement) -> None:
        """Something goes into the background."""
        piped = statement.kind is Kind.PIPELINE
        for command in _commands(statement):
            argv, _ = self.words.strip(command)
            heaviness = weight(argv)
            if heaviness is Weight.ONCE:
                continue
            name = base(argv[0]) if argv else ""
            inside = None
            if name in self.functions:
                argv, heaviness, inside = self._inside(name, argv)
            known = heaviness is Weight.SERVER
            self.jobs.append(_Job(statement, argv, piped, known, inside))
            return

    def _inside(self, name: str, argv: tuple[str, ...]) -> tuple[tuple[str, ...], Weight, Statement | None]:
        """The server that a function runs, and its statement where it is the child of the background shell."""
        for command in _commands_of(self.functions[name]):
            inner, execs = self.words.strip(command)
            if weight(inner) is Weight.SERVER:
                return inner, Weight.SERVER, None if execs or command.background else command
        return argv, Weight.UNKNOWN, None

    def command(  # noqa: PLR0912  one arm for each builtin
        self, statement: Statement, after: tuple[Statement, ...], guarded: bool
    ) -> bool:
        """One simple command."""
        for name, value in statement.assigns:
            if not statement.words or statement.words[0] == "export":
                self.words.assign(name, value)
        if not statement.words:
            return False
        argv, execs = self.words.strip(statement)
        if execs:
            if not argv:
                return False
            return self._exec(argv, statement, after)
        if not argv:
            return False
        name = base(argv[0])
        match name:
            case "set":
                self._set(argv)
            case "trap":
                self._trap(statement)
            case "wait":
                self._wait(statement, guarded)
            case "exit" | "return":
                if self.branches and self.waits:
                    self.left = True  # one way out of several: the last one knows all the waits
                else:
                    self.finish(after=())
                return True
            case "shift":
                self.words.shift(argv[1] if len(argv) > 1 else "")
            case "." | "source":
                self.setup.append(statement)
                if len(argv) > 1 and not after and not self.jobs and self.branches == 0:
                    self.candidate = None
                    self.end(Way.UNSEEN, argv[1:], statement)
            case "fg":
                if self.jobs:
                    self.end(Way.FOREGROUND, self.jobs[-1].argv, self.jobs[-1].statement)
                    return True
            case _ if name in self.functions and self.calls < MAX_CALLS:
                return self._call(name, argv[1:])
            case _:
                return self._foreground(argv, statement, after)
        return False

    def _exec(self, argv: tuple[str, ...], statement: Statement, after: tuple[Statement, ...]) -> bool:
        if base(argv[0]) in {"tail", "sleep"} and (self.jobs or self.daemons):
            self.tail(statement)
        else:
            self.end(Way.EXEC, argv, statement, known=weight(argv) is Weight.SERVER, after=after)
        return True

    def _call(self, name: str, args: tuple[str, ...]) -> bool:
        saved, self.words.args = self.words.args, args if "$@" not in args else None
        self.calls += 1
        ended = self.block(self.functions[name])
        self.calls -= 1
        self.words.args = saved
        return ended and any(ending.way in {Way.EXEC, Way.FOREGROUND, Way.PIPE, Way.LOOP} for ending in self.endings)

    def _set(self, argv: tuple[str, ...]) -> None:
        if "--" in argv:
            self.words.take(argv[argv.index("--") + 1 :])
            return
        for index, word in enumerate(argv[1:], 1):
            if re.match(r"-\w*e", word) or (word == "errexit" and argv[index - 1].startswith("-")):
                self.errexit = True
            if re.match(r"\+\w*e", word) or (word == "errexit" and argv[index - 1].startswith("+")):
                self.errexit = False

    def _trap(self, statement: Statement) -> None:
        for signal in reset_signals(statement):
            self.traps.pop(signal, None)
        trap = trap_of(self._expanded(statement) if statement.early else statement, self.functions)
        if trap is not None:
            for signal in trap.signals:
                self.traps[signal] = trap

    def _expanded(self, statement: Statement) -> Statement:
        """A trap whose code in double quotes is expanded while it is set: what has no value yet becomes nothing."""

        def value(match: re.Match[str]) -> str:
            name = match[1] or match[2]
            known = (
                bool(self.jobs) if name == "!" else bool(self.words.variables.get(name)) or name not in self.jobs_later
            )
            return match[0] if known else ""

        words = list(statement.words)
        index = 2 if words[1:2] == ["--"] else 1
        words[index] = re.sub(r"(?<!\\)\$(?:\{(\w+|!|\$)\}|(\w+|!|\$))", value, words[index])
        return replace(statement, words=tuple(words))

    def _wait(self, statement: Statement, guarded: bool) -> None:
        if not self.jobs:
            return
        self.waits.append(Wait(statement.start, statement.end, guarded, self.errexit, self.loops > 0, self._in_force()))

    def _foreground(self, argv: tuple[str, ...], statement: Statement, after: tuple[Statement, ...]) -> bool:
        heaviness = weight(argv)
        name = base(argv[0])
        if name in {"service", "systemctl", "rc-service"} and set(argv) & {"start", "restart"}:
            self.daemons.append(tuple(word for word in argv[1:] if word not in {"start", "restart"})[:1] or argv)
        if name == "tail" and self.waits and any(word.startswith("--pid") for word in argv):
            self._wait(statement, guarded=False)
            return False
        if self.waits and naps(argv):
            self._wait(statement, guarded=False)
            return False
        follows = name == "tail" and {"-f", "-F", "--follow"} & set(argv)
        if follows or (name == "sleep" and len(argv) > 1 and (duration(argv[1]) or 0) >= LONG and self.loops == 0):
            if self.jobs or self.daemons:
                self.tail(statement)
            return bool(self.jobs or self.daemons)
        if heaviness is Weight.SERVER and daemonises(argv):
            if name == "nginx" and self.branches == 0 and not any(self.ahead):
                # as the last command it can only stay: its configuration says `daemon off`
                self.end(Way.FOREGROUND, argv, statement, known=False)
                return True
            self.daemons.append(argv)
            return False
        if heaviness is Weight.SERVER and self._is_a_step(argv, statement):
            heaviness = Weight.ONCE
        if heaviness is Weight.SERVER:
            if self.loops == 0 and self.branches and _more(after) and argv[0].startswith("$") and argv[0] != "$@":
                return False
            self.end(Way.FOREGROUND, argv, statement, after=after)
            return True
        if heaviness is Weight.UNKNOWN:
            self.candidate = (statement, argv, False)
        self.setup.append(statement)
        return False

    def _is_a_step(self, argv: tuple[str, ...], statement: Statement) -> bool:
        """Whether a command that could serve is a step of the set-up: a program given on standard input, one of
        several that a loop runs, or an interpreter before the server itself."""
        inside = innermost(argv)
        if runs_anything(argv) or (inside is not argv and inside[0].startswith("$") and inside[0] != "$@"):
            return (statement.redirected and set(argv[1:]) <= {"-"}) or self._server_ahead()
        return bool(self.rounds) and argv[0].startswith("$") and argv[0] != "$@"

    def _server_ahead(self) -> bool:
        """Whether a server follows, so that what runs before it was a step of the set-up."""
        for block in self.ahead:
            for one in _commands_of(block):
                if one.words == ("exec", "$@") and self.given != ():
                    return True
                argv, execs = self.words.strip(one)
                called = _commands_of(self.functions.get(argv[0], ())) if argv else []
                if argv and (execs or weight(argv) is Weight.SERVER or any(_serves(each) for each in called)):
                    return True
        return False

    def tail(self, statement: Statement) -> None:
        """The script keeps the container alive by something that is not the server."""
        job = self._main_job()
        daemon = self.daemons[-1] if self.daemons else ()
        self.end(Way.TAIL, job.argv if job else daemon, statement, known=job is None or job.known)

    def end(
        self,
        way: Way,
        argv: tuple[str, ...],
        statement: Statement,
        *,
        known: bool = True,
        after: tuple[Statement, ...] = (),
        child: bool = False,
    ) -> None:
        """Note one point where a server runs."""
        if way in {Way.EXEC, Way.FOREGROUND} and works_alone(argv):
            self._beside(statement)
        # `trap - TERM` before a second wait takes nothing away from the first, which the signal ends
        traps = self.waits[0].traps if way is Way.WAIT and self.waits else self._in_force()
        self.endings.append(
            Ending(
                way,
                argv,
                statement.start,
                statement.end,
                statement.word_start or statement.start,
                known,
                traps,
                tuple(self.waits),
                tuple(one for one in after if one.kind is not Kind.FUNCTION),
                statement,
                branch=self.branches > 0,
                company=tuple(job.argv for job in self.jobs if job.statement is not statement),
                child=child,
            )
        )

    def _beside(self, statement: Statement) -> None:
        """Note a web server that runs beside a worker, which is what gets the stop signal."""
        for one in [*(job.argv for job in self.jobs if job.known), *self.daemons]:
            if serves_http(one):
                self.end(Way.TAIL, one, statement)

    def _in_force(self) -> tuple[Trap, ...]:
        return tuple({trap.start: trap for trap in self.traps.values()}.values())

    def finish(self, after: tuple[Statement, ...]) -> None:
        """The script ends here: what runs in the background is waited for, or abandoned."""
        if any(ending.way is not Way.EXEC and not ending.branch for ending in self.endings):
            return
        job = self._main_job()
        if job is not None and (job.known or self.waits or self.candidate is None):
            if self.waits or not any(ending.way is Way.EXEC for ending in self.endings):
                way = Way.WAIT if self.waits else Way.ABANDONED
                if way is Way.ABANDONED and job.known and self._stays_behind(job):
                    return
                if job.piped:
                    way = Way.PIPE
                if way is not Way.ABANDONED or job.known:
                    self.end(way, job.argv, job.inside or job.statement, known=job.known, child=job.inside is not None)
                self.jobs.clear()
            return
        if self.candidate is not None and self.branches == 0 and self.calls == 0:
            statement, argv, piped = self.candidate
            self.candidate = None
            if "/" not in argv[0] and any(_is_library(one) for one in self.setup):
                self.end(Way.UNSEEN, argv, statement)  # a function of a sourced file, as likely as not
                return
            self.end(Way.PIPE if piped else Way.FOREGROUND, argv, statement, known=False, after=after)

    def _stays_behind(self, job: _Job) -> bool:
        """Note a server in the background while the script's last command is another one, which keeps it alive."""
        statement, _, piped = self.candidate or (None, (), False)
        if statement is None or piped or statement.start < job.statement.end:
            return False
        self.end(Way.TAIL, job.argv, statement)
        self.jobs.clear()
        return True

    def _main_job(self) -> _Job | None:
        known = [job for job in self.jobs if job.known]
        return known[-1] if known else self.jobs[-1] if self.jobs else None


def follow(
    script: Script,
    args: tuple[str, ...] | None = None,
    root: bool | None = None,
    environment: Mapping[str, str] | None = None,
) -> Flow:
    """Every point where a script runs a server; ``args`` are its arguments, None when they are not known."""
    flow = Flow(
        Words(args),
        args,
        environment=environment or {},
        root=root,
        jobs_later=frozenset(_job_variables(script.statements)),
    )
    if any(re.match(r"-\w*e", word) for word in script.interpreter[1:]):
        flow.errexit = True
    try:
        ended = flow.block(script.statements)
        if not ended or flow.left:
            flow.finish(())
    except RecursionError:
        flow.endings.clear()
    return flow


def _job_variables(statements: tuple[Statement, ...]) -> Iterator[str]:
    for one in statements:
        yield from (name for name, value in one.assigns if "$!" in value or "${!}" in value)
        yield from _job_variables(one.body)
        for way in one.branches:
            yield from _job_variables((*way.condition, *way.body))


def _serves(command: Statement) -> bool:
    return command.words[0] == "exec" or weight(command.words) is Weight.SERVER


def _is_library(command: Statement) -> bool:
    sourced = command.words[0] in {".", "source"} and len(command.words) > 1
    return sourced and bool(re.search(r"lib|func|common|util|helper", base(command.words[1])))


def _exits(body: tuple[Statement, ...]) -> bool:
    return any(one.kind is Kind.COMMAND and one.words[:1] in {("exit",), ("return",)} for one in body)


def _more(after: tuple[Statement, ...]) -> bool:
    return any(one.kind is not Kind.FUNCTION for one in after)


def _commands(statement: Statement) -> list[Statement]:
    if statement.kind is Kind.COMMAND:
        return [statement] if statement.words else []
    return _commands_of(statement.body) + [one for way in statement.branches for one in _commands_of(way.body)]


def _commands_of(statements: tuple[Statement, ...]) -> list[Statement]:
    return [command for one in statements if one.kind is not Kind.FUNCTION for command in _commands(one)]
