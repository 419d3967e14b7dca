"""supervisord's programs: how each of them is stopped.

Law: supervisord sends ``stopsignal`` (TERM unless said) and kills after ``stopwaitsecs`` (10 unless said): supervisor
4.3. ``%(program_name)s`` and ``%(ENV_NAME)s`` are put in as it does. A program in ``bash -c`` is the server where the
shell makes room for it. The configuration is found through ``-c``, else by what is copied to where supervisord looks.
A file that is not in the input is not judged.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass

from lameduck.manifests.chain import Chain
from lameduck.manifests.dockerfile import Stage
from lameduck.manifests.expansion import Words
from lameduck.manifests.flow import follow
from lameduck.manifests.imagefiles import Read, in_context
from lameduck.manifests.ini import Section, sections
from lameduck.manifests.mounts import find_in
from lameduck.manifests.programs import Server, base, server_of
from lameduck.manifests.shell import Script, parse_words
from lameduck.manifests.shells import last_command, real_shell, replaces
from lameduck.manifests.signals import signal_name
from lameduck.manifests.text import Text
from lameduck.manifests.unwrap import inner, innermost, shell_code

_PLACES = re.compile(r"supervisor(d)?(\.conf|/|\.d/|$)")


@dataclass(frozen=True, slots=True)
class Supervised:
    """One program of supervisord: its section, its command, its stop."""

    text: Text
    section: Section
    argv: tuple[str, ...]
    server: Server | None
    signal: str
    patience: float | None


def supervised(chain: Chain, read: Read) -> list[Supervised]:
    """The programs of the supervisord at the end of a chain; none when there is no supervisord, or no file of it."""
    argv = chain.server_argv
    if not chain.supervisor or not argv or base(argv[0]) != "supervisord":
        return []
    return [
        _program(chain, text, section)
        for text in _files(chain, read)
        for section in sections(text)
        if section.name.startswith("program:")
    ]


def _files(chain: Chain, read: Read) -> list[Text]:
    argv, launch = chain.server_argv, chain.launch
    texts: dict[str, Text] = {}
    for index, word in enumerate(argv):
        path = argv[index + 1] if word in {"-c", "--configuration"} and index + 1 < len(argv) else ""
        path = word.partition("=")[2] if word.startswith("--configuration=") else path
        if path and (one := find_in(launch, path, read)) and one.value is None:
            texts[one.text.path] = one.text
    stage: Stage | None = launch.stage
    while stage is not None and launch.dockerfile is not None:
        for copy in stage.copies:
            target = copy.target if not copy.target.endswith("/") else copy.target + copy.source.rsplit("/", 1)[-1]
            if copy.origin or copy.body or not _PLACES.search(target) or not copy.source.endswith((".conf", ".ini")):
                continue
            if one := in_context(copy.source, launch.dockerfile, read):
                texts[one.text.path] = one.text
        stage = stage.parent
    return list(texts.values())


def _program(chain: Chain, text: Text, section: Section) -> Supervised:
    options, environment = section.options, chain.launch.environment
    name = section.name.partition(":")[2].strip()

    def value(match: re.Match[str]) -> str:
        return name if match[1] == "program_name" else environment.get(match[1].removeprefix("ENV_"), match[0])

    written = options["command"].value if "command" in options else ""
    command = re.sub(r"%\((program_name|ENV_\w+)\)s", value, written)
    try:
        argv = tuple(shlex.split(command))
    except ValueError:
        argv = tuple(command.split())
    for _ in range(4):
        inside = inner(argv) if argv and server_of(argv) is None else ()
        argv = inside or argv
    signal = signal_name(options["stopsignal"].value) if "stopsignal" in options else "TERM"
    wait = options["stopwaitsecs"].value if "stopwaitsecs" in options else "10"
    patience = float(wait) if re.fullmatch(r"\d+(\.\d+)?", wait) else None
    return Supervised(text, section, argv, server_of(_room(argv, chain.launch.shell)), signal or "TERM", patience)


def _room(argv: tuple[str, ...], bin_sh: str | None) -> tuple[str, ...]:
    """The command that ``sh -c`` makes room for, by ``exec`` or by itself; a command line without a shell as it is."""
    code = shell_code(argv) if argv else None
    if code is None:
        return argv
    last = last_command(statements := parse_words(code[1]))
    if last is None or not last.words:
        return ()
    plain = Words(code[2]).strip(last)
    flow = follow(Script(Text("", code[1]), 0, 0, (), statements, errors=False), code[2])
    room = plain[1] or replaces(real_shell(code[0], bin_sh), last, flow)
    return innermost(plain[0]) if room else ()
