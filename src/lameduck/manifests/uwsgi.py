"""uWSGI's settings where they decide about its stop: flags, the ini file they name, UWSGI_ variables.

Law: TERM reloads brutally, and die-on-term makes it a brutal quit; only a hook drains (measured with uWSGI 2.0.30). A
settings file that is not in the input is unseen, and then nothing is said.
"""

from __future__ import annotations

from dataclasses import dataclass

from lameduck.core.finding import FileSpan
from lameduck.manifests.chain import Chain
from lameduck.manifests.imagefiles import Found, Read, in_context
from lameduck.manifests.ini import Section, sections
from lameduck.manifests.mounts import find_in
from lameduck.manifests.programs import base
from lameduck.manifests.supervisor import supervised
from lameduck.manifests.text import Text

_HOOK = "gracefully_kill_them_all"


@dataclass(frozen=True, slots=True)
class Uwsgi:
    """One uWSGI: where its settings are, and what they say."""

    place: FileSpan
    text: Text | None
    section: Section | None
    graceful: bool
    dies_on_term: bool
    unseen: bool
    signal: str | None


def uwsgis(chain: Chain, read: Read) -> list[Uwsgi]:
    """The uWSGI processes at the end of a chain, directly or below supervisord."""
    found = []
    if chain.server is not None and chain.server.name == "uwsgi" and chain.server_at is not None:
        text, start, end = chain.server_at
        found.append(_uwsgi(chain, read, chain.server_argv, text.span(start, end), chain.server_signal))
    for one in supervised(chain, read):
        if one.server is not None and one.server.name == "uwsgi":
            place = one.text.span(one.section.start, one.section.end)
            found.append(_uwsgi(chain, read, one.argv, place, one.signal))
    return found


def _uwsgi(chain: Chain, read: Read, argv: tuple[str, ...], place: FileSpan, signal: str | None) -> Uwsgi:
    words, environment = " ".join(argv), chain.launch.environment
    graceful = _HOOK in words or any(_HOOK in value for value in environment.values())
    dies = "--die-on-term" in argv or environment.get("UWSGI_DIE_ON_TERM", "").lower() in {"1", "true", "on"}
    paths = _files(argv)
    if not paths:
        unseen = any(word.startswith(("--yaml", "--json", "--xml", "--emperor", "-y", "-j", "-x")) for word in argv)
        unseen = unseen or "UWSGI_INI" in environment
        return Uwsgi(place, None, None, graceful, dies, unseen, signal)
    for path in paths:
        one = _find(chain, path, read)
        section = next((each for each in sections(one.text) if each.name == "uwsgi"), None) if one else None
        if one is None or section is None:
            return Uwsgi(place, None, None, graceful, dies, True, signal)
        graceful = graceful or any(_HOOK in option.value for option in section.options.values())
        option = section.options.get("die-on-term")
        dies = dies or (option is not None and option.value.lower() not in {"false", "0", "no"})
        spot = one.text.span(option.start, option.end) if option else one.text.span(section.start, section.end)
        return Uwsgi(
            spot, one.text, section, graceful, dies, "include" in section.options or "ini" in section.options, signal
        )
    return Uwsgi(place, None, None, graceful, dies, True, signal)


def _files(argv: tuple[str, ...]) -> list[str]:
    found = []
    for index, word in enumerate(argv[1:], 1):
        if word in {"--ini", "-i", "--ini-paste"} and index + 1 < len(argv):
            found.append(argv[index + 1])
        elif word.startswith("--ini="):
            found.append(word.partition("=")[2])
        elif word.endswith(".ini") and argv[index - 1] not in {"--ini", "-i", "--ini-paste"}:
            found.append(word)
    return [path.partition(":")[0] for path in found]


def _find(chain: Chain, path: str, read: Read) -> Found | None:
    launch = chain.launch
    found = find_in(launch, path, read)
    return found or (in_context(base(path), launch.dockerfile, read) if launch.dockerfile is not None else None)
