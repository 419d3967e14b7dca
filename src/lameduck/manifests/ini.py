"""INI files of supervisord and uWSGI: sections and options with their places.

Law: both read ``key = value`` lines below ``[section]`` lines; ``;`` and ``#`` begin comments; a supervisord value
goes on in indented lines. Repeated keys are kept, the last one counts.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from lameduck.manifests.text import Text

_SECTION = re.compile(r"\s*\[([^\]]+)\]")
_OPTION = re.compile(r"([^=:;#\s\[][^=:]*?)\s*[=:]\s*(.*?)\s*$")


@dataclass(frozen=True, slots=True)
class Option:
    """One option: its value and the place of its line."""

    value: str
    start: int
    end: int


@dataclass(slots=True)
class Section:
    """One section: its name, the place of its header, its options."""

    name: str
    start: int
    end: int
    options: dict[str, Option] = field(default_factory=dict)
    last: int = 0
    """The end of its last line with text."""


def sections(text: Text) -> list[Section]:
    """The sections of an INI file, in order. Never raises."""
    found: list[Section] = []
    key = ""
    for number, start in enumerate(text.starts, 1):
        line, end = text.line(number), text.line_end(start)
        if header := _SECTION.match(line):
            found.append(Section(header[1].strip(), start, end, last=end))
            key = ""
            continue
        bare = re.split(r"\s;", line, maxsplit=1)[0]
        if not found or not bare.strip() or bare.lstrip().startswith((";", "#")):
            continue
        section = found[-1]
        section.last = end
        if line[:1].isspace() and key:
            old = section.options[key]
            section.options[key] = Option(f"{old.value} {bare.strip()}".strip(), old.start, end)
        elif option := _OPTION.match(bare.strip()):
            key = option[1].strip().lower()
            section.options[key] = Option(option[2], start, end)
    return found
