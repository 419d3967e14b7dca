"""Follows a launch from PID 1 to its server, through shells, scripts, wrappers and launchers.

Law: the verdicts of shells are those measured in PID namespaces (`tests/manifests/test_pid1_table.py`); a command
that is not in the tables and not in the input ends the chain as unknown.
"""

from __future__ import annotations

import re
from dataclasses import replace

from lameduck.core.finding import Confidence
from lameduck.manifests import imagefiles
from lameduck.manifests.chain import Chain, Link, Problem, Trouble
from lameduck.manifests.durations import duration
from lameduck.manifests.endings import Ending, Way
from lameduck.manifests.flow import Flow, follow
from lameduck.manifests.imagefiles import Found, Read
from lameduck.manifests.images import UNKNOWN
from lameduck.manifests.launch import Launch, scalar
from lameduck.manifests.mounts import find_in
from lameduck.manifests.programs import LAUNCHERS, SHELLS, SUPERVISORS, WRAPPERS, Does, Wrapper, base, server_of
from lameduck.manifests.shell import Script, interpreter_of, parse, parse_code
from lameduck.manifests.shells import last_command, real_shell, replaces
from lameduck.manifests.signals import signal_name
from lameduck.manifests.supervisor import supervised
from lameduck.manifests.text import Text
from lameduck.manifests.troubles import Setting, dies_of, mended, troubles
from lameduck.manifests.unwrap import inner, innermost, plainly, script_argument, shell_code

MAX_LINKS = 16
LEFT = "dies at once; {init} tells the server then, and waits for it"


def chain_of(launch: Launch, read: Read) -> Chain:
    """Follow a launch to its server."""
    chain = Chain(launch)
    walker = _Walker(chain, read)
    assert launch.argv is not None
    if launch.entry_execs and launch.entry:
        chain.links.append(Link(" ".join(launch.entry), Does.REPLACES, "the base image's entry point"))
    walker.run(launch.argv, (launch.text, launch.start, launch.end))
    return chain


def chain_of_script(text: Text, read: Read) -> Chain:
    """Follow one start script that was given by itself, as if it were PID 1."""
    launch = Launch((text.path,), text, 0, min(len(text.content), 1), UNKNOWN)
    chain = Chain(launch)
    _Walker(chain, read).script(imagefiles.whole(text), text.path, None, None)
    return chain


class _Walker:
    """Walks the command lines; keeps the signal, the init and the depth."""

    def __init__(self, chain: Chain, read: Read) -> None:
        self.chain = chain
        self.launch = chain.launch
        self.read = read
        self.init = ""
        self.heir = False
        """Whether an init above tells what its command leaves to stop, and waits for it."""
        self.signal: str = chain.launch.stop_signal or "TERM"
        self.sent: str | None = self.signal
        """The signal as the script passes it on."""
        self.visited: set[tuple[str, int]] = set()

    def link(self, label: str, does: Does, note: str = "", at: tuple[Text, int, int] | None = None) -> None:
        text, start, end = at or (None, 0, 0)
        self.chain.links.append(Link(_short(label), does, note, text, start, end))

    def trouble(self, trouble: Trouble, at: tuple[Text, int, int], **more: object) -> None:
        text, start, end = at
        self.note(Problem(trouble, text, start, end, init=self.init, signal=self.signal, **more))  # type: ignore[arg-type]

    def note(self, problem: Problem) -> None:
        """Keep a problem, once for each place."""
        known = {(one.trouble, one.text.path, one.start) for one in self.chain.problems}
        if (problem.trouble, problem.text.path, problem.start) not in known:
            self.chain.problems.append(problem)

    def run(self, argv: tuple[str, ...], at: tuple[Text, int, int]) -> None:
        """Follow one command line."""
        if not argv or len(self.chain.links) > MAX_LINKS:
            self.link(" ".join(argv) or "nothing", Does.UNKNOWN)
            return
        argv = plainly(argv)
        name = base(argv[0])
        if argv[0].startswith("$"):
            self.link(" ".join(argv), Does.UNKNOWN, "set at run time", at)
            return
        if (code := shell_code(argv)) is not None:
            self.code(*code, at)
            return
        if (script := script_argument(argv)) is not None:
            self.file(script[1], script[2], at, script[0])
            return
        if self.wrapper(argv, name, at):
            return
        if name in SUPERVISORS:
            self.chain.supervisor = True
            self.link(" ".join(argv), Does.FORWARDS, "a supervisor, by its own settings", at)
            self.serve(argv, at, quiet=True)
            self.supervised()
            return
        server = server_of(argv)
        own = server is None or server.name in {"catalina.sh", "rabbitmq-server"}
        if own and self.file(argv[0], argv[1:], at, None, only_found=True):
            return
        if name in SHELLS:
            self.link(" ".join(argv), Does.UNKNOWN, "an interactive shell", at)
            return
        self.serve(argv, at)

    def supervised(self) -> None:
        """Follow supervisord's programs that are scripts: it signals its own child only, and then sees it end."""
        for one in supervised(self.chain, self.read):
            if one.server is not None or not one.argv:
                continue
            option = one.section.options["command"]
            code = shell_code(one.argv)
            place = scalar(one.text, code[1], option.start, option.end) if code else None
            below = Chain(replace(self.launch, argv=one.argv, code=place, stop_signal=one.signal))
            walker = _Walker(below, self.read)
            walker.init = "supervisord"
            walker.run(one.argv, (one.text, option.start, option.end))
            self.chain.problems += below.problems
            self.chain.texts += below.texts
            self.chain.scripts += below.scripts

    def serve(self, argv: tuple[str, ...], at: tuple[Text, int, int], quiet: bool = False) -> None:
        self.chain.server = server_of(argv)
        self.chain.server_argv = argv
        self.chain.server_at = at
        self.chain.server_signal = self.sent if self.launch.stop_signal else None
        if not quiet:
            self.link(" ".join(argv), Does.SERVES, "" if self.chain.server else "not in the tables", at)

    def wrapper(self, argv: tuple[str, ...], name: str, at: tuple[Text, int, int]) -> bool:
        """Follow a wrapper or a launcher; False when it is none."""
        launcher = _launcher(argv, name)
        if launcher:
            self.launcher(argv, launcher, at)
            return True
        if name in {"apachectl", "apache2ctl"} and self.launch.shell == "dash" and server_of(argv) is not None:
            note = f"{name} (Debian, 2.4) is a shell script that runs apache2 as its child and keeps the stop signal"
            self.link(name, Does.SWALLOWS, "a shell script, without exec", at)
            self.trouble(Trouble.WRAPPER, at, argv=argv, note=note)
            self.sent = None
            self.serve(argv, at, quiet=True)
            return True
        inside = inner(argv)
        if name in {"conda", "mamba"} and "run" in argv:
            self.link(" ".join(argv[:2]), Does.SWALLOWS, "does not forward the stop signal", at)
            self.trouble(
                Trouble.WRAPPER,
                at,
                argv=argv,
                note="conda run starts a child and does not forward the stop signal to it",
            )
            self.serve(inside, at, quiet=True)
            return True
        wrapper = WRAPPERS.get(name)
        if wrapper is None and name in {"uv", "poetry", "pipenv", "bundle", "chamber", "doppler"} and inside:
            self.link(" ".join(argv[:2]), Does.FORWARDS, "", at)
            self.run(inside, at)
            return True
        if wrapper is None or (wrapper.heir and argv[1:2] != ("run",)):
            return False
        if wrapper.init:
            self.init = name
            self.rewrite(argv[: len(argv) - len(inside)], wrapper)
        does = self.does(wrapper, argv)
        if not inside:
            self.link(" ".join(argv), Does.UNKNOWN, "what it runs cannot be told", at)
            return True
        note = (
            "init" if wrapper.init else f"SIGKILL {wrapper.seconds:g} s after the signal" if does is Does.CUTS else ""
        )
        self.link(" ".join(argv[: len(argv) - len(inside)]) or name, does, note, at)
        if does is Does.SWALLOWS and self.heir and self.signal == "TERM" and name in {"flock", "xargs"}:  # measured
            self.serve(innermost(inside), at)
            return True
        if does in {Does.CUTS, Does.SWALLOWS}:
            self.trouble(Trouble.WRAPPER, at, argv=argv, note=_wrapper_note(name, wrapper.seconds))
            self.serve(innermost(inside), at, quiet=True)
            return True
        self.run(inside, at)
        return True

    def does(self, wrapper: Wrapper, argv: tuple[str, ...]) -> Does:
        """What a wrapper does with the signal, with these arguments."""
        name = base(argv[0])
        if name in {"su", "runuser"} and self.launch.shell == "ash":
            return Does.REPLACES  # busybox su has no session to end
        return Does.REPLACES if name == "flock" and {"-F", "--no-fork"} & set(argv) else wrapper.does

    def aside(self, ending: Ending, text: Text) -> None:
        """A wrapper that cuts, in a branch that is not the main way: told as likely, since the branch may be taken."""
        wrapper = WRAPPERS.get(name := base(ending.argv[0])) if ending.argv else None
        if wrapper is not None and ending.way is Way.EXEC and self.does(wrapper, ending.argv) is Does.CUTS:
            note = _wrapper_note(name, wrapper.seconds)
            self.trouble(
                Trouble.WRAPPER,
                (text, ending.start, ending.end),
                argv=ending.argv,
                note=note,
                confidence=Confidence.LIKELY,
            )

    def rewrite(self, argv: tuple[str, ...], wrapper: Wrapper) -> None:
        """What an init's own options do: ``dumb-init --rewrite 15:3`` and ``lameduck-pod run --stop-signal QUIT`` send
        QUIT where TERM came, ``--leftovers 0`` waits for nothing that the command leaves."""
        self.heir = self.heir or wrapper.heir
        for index, word in enumerate(argv):
            name, _, value = word.partition("=")
            value = value or (argv[index + 1] if index + 1 < len(argv) else "")
            old, new = "", ""
            if not wrapper.heir and word.startswith(("-r", "--rewrite")):
                old, _, new = value.partition(":")
            elif wrapper.heir and name == "--forward":
                old, _, new = value.partition("=")
            elif wrapper.heir and name == "--stop-signal":
                old, new = "TERM", value
            elif wrapper.heir and name == "--leftovers" and duration(value) == 0:
                self.heir = False
            if new and signal_name(old) == self.signal:
                self.signal = self.sent = signal_name(new) or self.signal

    def launcher(self, argv: tuple[str, ...], name: str, at: tuple[Text, int, int]) -> None:
        does, evidence = LAUNCHERS[name]
        shell = self.launch.shell
        if name in {"npm", "npx"} and shell in {"ash", "bash"}:
            self.link(" ".join(argv), Does.FORWARDS, f"its script shell is {shell}", at)
            self.trouble(
                Trouble.LAUNCHER, at, argv=argv, replaced=True, note=f"drains only since its script shell is {shell}"
            )
            return
        confidence = Confidence.LIKELY if shell is None and name in {"npm", "npx"} else Confidence.CERTAIN
        self.link(" ".join(argv), does, evidence, at)
        self.trouble(
            Trouble.LAUNCHER,
            at,
            argv=argv,
            note=evidence,
            confidence=confidence,
            replaced=None if shell is None else False,
        )

    def file(
        self,
        path: str,
        args: tuple[str, ...],
        at: tuple[Text, int, int],
        shell: str | None,
        only_found: bool = False,
    ) -> bool:
        """Follow a start script by its path in the image; False when it is no script of the input."""
        launch = self.launch
        found = find_in(launch, path, self.read)
        if found is None:
            if only_found and not re.search(r"\.(sh|bash)\Z|entrypoint", path):
                return False
            if shell is None and only_found and not launch.dockerfile:
                return False
            self.chain.missing_script = path
            self.link(path, Does.UNKNOWN, "a script that is not in the input", at)
            return True
        words = interpreter_of(found.content)
        if shell is None and len(words) > 1 and (wrapper := WRAPPERS.get(base(words[0]))) and wrapper.init:
            self.init, shell = base(words[0]), base(words[1])  # #!/usr/bin/dumb-init /bin/sh
            self.link(words[0], Does.FORWARDS, "init", at)
        if shell is None and words and base(words[0]) not in SHELLS:
            self.serve((*words, path, *args), at)
            return True
        if shell is None and not words and "\0" in found.content:
            return False
        self.script(found, path, args, shell)
        return True

    def script(self, found: Found, path: str, args: tuple[str, ...] | None, shell: str | None) -> None:
        """Follow a script file as the process that gets the signal."""
        key = (found.text.path, found.start)
        if key in self.visited:
            self.link(path, Does.REPLACES, "starts itself again")
            return
        self.visited.add(key)
        if found.value is None:
            script = parse(found.text, found.start, found.end)
        else:
            script = parse_code(found.text, found.value, list(found.offsets), found.start, found.end)
        flow = follow(script, args, self.launch.root, self.launch.settled)
        self.chain.texts.append(found.text)
        self.chain.scripts.append((script, flow))
        name = shell or (base(script.interpreter[0]) if script.interpreter else "sh")
        self.judge(script, flow, path, real_shell(name, self.launch.shell), in_code=not found.own_lines)

    def code(self, name: str, code: str, args: tuple[str, ...], at: tuple[Text, int, int]) -> None:
        """Follow the code of ``sh -c``."""
        launch, real = self.launch, real_shell(name, self.launch.shell)
        place = launch.code if launch.code is not None and launch.code.code == code else None
        if place is not None:
            script = parse_code(place.text, code, list(place.offsets), place.start, place.end)
        else:
            text, start, end = at
            script = parse_code(text, code, [start] * (len(code) + 1), start, end)
        flow = follow(script, args or None, self.launch.root, self.launch.settled)
        last = last_command(script.statements)
        main = flow.endings[-1] if flow.endings else None
        if main is not None and main.way is Way.FOREGROUND and last is not None and main.start == last.start:
            replaced = replaces(real, last, flow)
            where = (place.text, place.start, place.end) if place is not None else at
            self.shell_form(main, real, replaced, where, script)
            return
        self.judge(script, flow, f"{name} -c", real, in_code=True, at=at)

    def shell_form(
        self,
        ending: Ending,
        shell: str,
        replaced: bool | None,
        where: tuple[Text, int, int],
        script: Script,
    ) -> None:
        label = shell if shell else "sh"
        does = Does.REPLACES if replaced else Does.UNKNOWN if replaced is None else Does.SWALLOWS
        note = (
            f"{label} -c "
            f"{'replaces itself by' if replaced else 'may stay before' if replaced is None else 'stays before'} it"
        )
        if does is Does.SWALLOWS and self.init and dies_of(self.signal, shell):
            does = Does.DIES
        if does is Does.DIES and self.heir:
            self.link(f"{label} -c", Does.FORWARDS, LEFT.format(init=self.init), where)
            self.serve(innermost(ending.argv), (script.text, ending.start, ending.end))
            return
        self.link(f"{label} -c", does, note, where)
        trouble = Trouble.INIT_SHELL if does is Does.DIES else Trouble.SHELL_FORM
        self.trouble(
            trouble,
            where,
            argv=ending.argv,
            shell=shell,
            replaced=replaced,
            ending=ending,
            script=script,
            in_code=True,
            confidence=Confidence.CERTAIN if replaced is not None and ending.known else Confidence.LIKELY,
        )
        at = (script.text, ending.start, ending.end)
        if replaced:
            self.run(ending.argv, at)
        elif launcher := _launcher(ending.argv, base(ending.argv[0])):  # exec alone would only lay it bare
            self.launcher(ending.argv, launcher, at)
        else:
            self.serve(innermost(ending.argv), (script.text, ending.start, ending.end))

    def judge(
        self,
        script: Script,
        flow: Flow,
        label: str,
        shell: str,
        in_code: bool,
        at: tuple[Text, int, int] | None = None,
    ) -> None:
        """State what a script does with the signal, at each of its endings, and go on with the main one."""
        if not flow.endings:
            self.link(label, Does.UNKNOWN, "no server could be found in it")
            return
        place = at or (script.text, script.start, script.end)
        main, left = _main(flow.endings), False
        for ending in flow.endings:
            setting = Setting(script, shell, self.init, self.signal, in_code, self.heir)
            found, self.sent = troubles(ending, setting, self.sent)
            for problem in found:
                if mended(problem, setting):
                    left = left or ending is main
                else:
                    self.note(problem)
            if ending is not main:
                self.aside(ending, script.text)
        where = (script.text, main.start, main.end)
        bad = [one for one in self.chain.problems if one.ending is main]
        if main.way is Way.EXEC:
            self.link(label, Does.REPLACES, "", place)
            self.run(main.argv, where)
        elif main.way is Way.UNSEEN:
            self.link(label, Does.UNKNOWN, f"goes on in {main.argv[0]}", place)
        else:
            does = (Does.DIES if self.init else Does.SWALLOWS) if bad else Does.FORWARDS
            if bad and bad[0].trouble in {Trouble.INTERRUPTED, Trouble.NOT_FORWARDED}:
                does = Does.DIES
            self.link(
                label,
                does,
                bad[0].trouble.value if bad else LEFT.format(init=self.init) if left else "forwards and waits",
                place,
            )
            self.serve(innermost(main.argv), where)


def _main(endings: list[Ending]) -> Ending:
    """The ending that most likely holds: the last unconditional one, else the last."""
    plain = [one for one in endings if not one.branch]
    return plain[-1] if plain else endings[-1]


def _launcher(argv: tuple[str, ...], name: str) -> str:
    if name == "go" and "run" in argv[1:3]:
        return "go run"
    if name in {"npm", "yarn", "pnpm"}:
        words = [word for word in argv[1:] if not word.startswith("-")]
        return (
            name
            if words and words[0] not in {"ci", "install", "build", "exec"}
            else "npx"
            if words[:1] == ["exec"]
            else ""
        )
    if name == "pm2" and "--no-daemon" in argv:
        return "pm2-runtime"
    return name if name in {"npx", "nodemon", "pm2-runtime", "pm2-docker"} else ""


def _wrapper_note(name: str, seconds: float) -> str:
    if seconds:
        return f"{name} stays as the server's parent: it forwards the stop signal, then kills after {seconds:g} s"
    return f"{name} stays as the server's parent and does not pass the stop signal on in time"


def _short(label: str) -> str:
    label = " ".join(label.split())
    return label if len(label) <= 60 else f"{label[:57]}..."
