"""Dockerfiles as instructions with places, and stages with what their image will run.

Law: read as BuildKit does. The ``escape`` directive, continuation lines with comments and blank lines between them,
here documents (whose bodies are not instructions), and the exec form only where the text is valid JSON: otherwise the
whole line is silently a shell command. Of a multi-stage build only the last stage counts, with what it inherits from
earlier ones.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field

from lameduck.core.finding import FileSpan
from lameduck.manifests.text import BOM, Text

_DIRECTIVE = re.compile(r"#\s*(\w+)\s*=\s*(\S+)\s*\Z")
_WORD = re.compile(r"\s*(\w+)")
_HEREDOC = re.compile(r"(?<![<\w])<<(-?)\s*([\"']?)([A-Za-z_][\w.]*)\2")
_VARIABLE = re.compile(r"\$(?:\{(\w+)(?:(:?[-+])([^{}]*))?\}|(\w+))")


@dataclass(frozen=True, slots=True)
class HereDocument:
    """A here document of an instruction: its name and the place of its body."""

    name: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction: its name in upper case, its arguments with continuations joined, and where they are."""

    text: Text
    name: str
    value: str
    start: int
    end: int
    offsets: tuple[int, ...] = field(repr=False)
    """The offset in the file of each character of ``value``."""
    heredocs: tuple[HereDocument, ...] = ()

    @property
    def span(self) -> FileSpan:
        """The place of the whole instruction, without here documents."""
        return self.text.span(self.start, self.end)

    @property
    def value_start(self) -> int:
        """The offset of the first character of the arguments."""
        return self.offsets[0] if self.offsets else self.end

    def spot(self, index: int) -> FileSpan:
        """The place of one character of ``value``."""
        return self.text.span(self.offsets[index] if index < len(self.offsets) else self.end)

    @property
    def json(self) -> tuple[str, ...] | None:
        """The words of the exec form; None where the text is not a JSON array of strings."""
        if not self.value.startswith("["):
            return None
        try:
            words = json.loads(self.value)
        except ValueError:
            return None
        if isinstance(words, list) and all(isinstance(word, str) for word in words):
            return tuple(words)
        return None


@dataclass(frozen=True, slots=True)
class Copy:
    """One file source of a COPY or ADD: from the context or another stage, to a place in the image."""

    source: str
    target: str
    origin: str
    """The stage or image it is copied from; "" for the build context."""
    workdir: str
    many: bool
    """Whether the target must be a directory, since there are several sources."""
    instruction: Instruction
    body: HereDocument | None = None


@dataclass(slots=True)
class Stage:
    """One build stage, with what it sets itself; ``base`` has variables resolved."""

    base: str
    name: str
    start: Instruction
    parent: Stage | None = None
    """The earlier stage it is built from."""
    instructions: list[Instruction] = field(default_factory=list)
    copies: list[Copy] = field(default_factory=list)
    resolved: bool = True
    """Whether the base's name holds no unknown variable."""

    def last(self, *names: str) -> Instruction | None:
        """The last instruction of that name in this stage alone."""
        return next((one for one in reversed(self.instructions) if one.name in names), None)

    @property
    def root(self) -> Stage:
        """The stage that starts from an image."""
        return self.parent.root if self.parent else self


class Dockerfile:
    """A parsed Dockerfile. Never raises: what is not an instruction is kept in ``strange``."""

    def __init__(self, text: Text) -> None:
        self.text = text
        self.strange: list[tuple[int, str]] = []
        self.instructions = list(_instructions(text, self.strange))
        self.stages = _stages(self.instructions)

    def __repr__(self) -> str:
        return f"Dockerfile({self.text.path!r}, {len(self.stages)} stages)"

    @property
    def final(self) -> Stage | None:
        """The stage that becomes the image; None for a file without FROM."""
        return self.stages[-1] if self.stages else None

    def stage(self, name: str) -> Stage | None:
        """A stage by its name or number."""
        for index, stage in enumerate(self.stages):
            if name.lower() in {stage.name, str(index)}:
                return stage
        return None


def is_dockerfile(path: str) -> bool:
    """Whether a file's name says that it is a Dockerfile."""
    name = path.rsplit("/", 1)[-1].lower()
    if name.endswith((".dockerignore", ".md", ".sh", ".py", ".txt", ".yaml", ".yml", ".json", ".j2", ".tmpl", ".tpl")):
        return False
    return name.startswith(("dockerfile", "containerfile")) or name.endswith((".dockerfile", ".containerfile"))


def _instructions(text: Text, strange: list[tuple[int, str]]) -> list[Instruction]:
    content, found = text.content, []
    escape, directives = "\\", True
    at = 1 if content.startswith(BOM) else 0
    while at < len(content):
        end = text.line_end(at)
        line = content[at:end].strip()
        if not line or line.startswith("#"):
            directive = _DIRECTIVE.match(line) if directives else None
            if directive and directive[1].lower() == "escape":
                escape = directive[2][0]
            directives = directives and directive is not None
            at = _next(content, end)
            continue
        directives = False
        instruction, at = _instruction(text, at, escape)
        if instruction is None:
            strange.append((at, line))
            at = _next(content, end)
        else:
            found.append(instruction)
    return found


def _next(content: str, at: int) -> int:
    newline = content.find("\n", at)
    return len(content) if newline < 0 else newline + 1


def _instruction(text: Text, at: int, escape: str) -> tuple[Instruction | None, int]:
    content = text.content
    word = _WORD.match(content, at, text.line_end(at))
    if word is None:
        return None, at
    start, name = word.start(1), word[1].upper()
    offsets: list[int] = []
    cursor, first, end = word.end(), True, word.end()
    while cursor <= len(content):
        stop = text.line_end(cursor) if cursor < len(content) else len(content)
        line = content[cursor:stop]
        following = _next(content, stop) if cursor < len(content) else len(content) + 1
        blank = not line.strip() or line.lstrip().startswith("#")
        if not first and blank:  # comments and blank lines inside a continuation vanish
            if following > len(content) or (following == len(content)):
                cursor = following
                break
            cursor = following
            continue
        kept = line.rstrip()
        continues = kept.endswith(escape) and following <= len(content)
        if continues:
            kept = kept[:-1]
        offsets.extend(range(cursor, cursor + len(kept)))
        end, first, cursor = cursor + len(kept), False, following
        if not continues:
            break
    cursor = min(cursor, len(content))
    offsets = _trimmed(content, offsets)
    value = "".join(content[offset] for offset in offsets)
    heredocs: tuple[HereDocument, ...] = ()
    if name in {"RUN", "COPY", "ADD"} and "<<" in value:
        heredocs, cursor = _heredocs(text, value, cursor)
    return Instruction(text, name, value, start, end, tuple(offsets), heredocs), cursor


def _trimmed(content: str, offsets: list[int]) -> list[int]:
    first, last = 0, len(offsets)
    while first < last and content[offsets[first]].isspace():
        first += 1
    while last > first and content[offsets[last - 1]].isspace():
        last -= 1
    return offsets[first:last]


def _heredocs(text: Text, value: str, cursor: int) -> tuple[tuple[HereDocument, ...], int]:
    content, found = text.content, []
    for match in _HEREDOC.finditer(value):
        tabs, name, start = match[1] == "-", match[3], cursor
        while cursor < len(content):
            stop = text.line_end(cursor)
            line = content[cursor:stop]
            if (line.lstrip("\t") if tabs else line) == name:
                found.append(HereDocument(name, start, cursor))
                cursor = _next(content, stop)
                break
            cursor = _next(content, stop)
        else:
            found.append(HereDocument(name, start, len(content)))
    return tuple(found), cursor


def _stages(instructions: list[Instruction]) -> list[Stage]:
    stages: list[Stage] = []
    arguments: dict[str, str] = {}
    workdir = "/"
    for one in instructions:
        if one.name == "ARG" and not stages:
            name, _, default = one.value.partition("=")
            arguments[name.strip()] = expand(default.strip().strip("\"'"), arguments)[0]
        elif one.name == "FROM":
            stage = _stage(one, stages, arguments)
            if stage is not None:
                stages.append(stage)
                workdir = _workdir(stage.parent) if stage.parent else "/"
        elif stages:
            stages[-1].instructions.append(one)
            if one.name == "WORKDIR":
                workdir = join(workdir, one.value.strip().strip("\"'"))
            elif one.name in {"COPY", "ADD"}:
                stages[-1].copies += _copies(one, workdir)
    return stages


def _workdir(stage: Stage) -> str:
    where = _workdir(stage.parent) if stage.parent else "/"
    for one in stage.instructions:
        if one.name == "WORKDIR":
            where = join(where, one.value.strip().strip("\"'"))
    return where


def workdir_of(stage: Stage) -> str:
    """The working directory that a stage's image ends with."""
    return _workdir(stage)


def _stage(one: Instruction, stages: list[Stage], arguments: dict[str, str]) -> Stage | None:
    words = [word for word in one.value.split() if not word.startswith("--")]
    if not words:
        return None
    base, complete = expand(words[0], arguments)
    name = words[2].lower() if len(words) >= 3 and words[1].lower() == "as" else ""
    parent = next((stage for stage in reversed(stages) if stage.name and stage.name == base.lower()), None)
    return Stage(base, name, one, parent, resolved=complete)


def expand(word: str, values: dict[str, str]) -> tuple[str, bool]:
    """A word with ``$X``, ``${X}`` and ``${X:-default}`` replaced, and whether all of them were known."""
    complete = True

    def replace(match: re.Match[str]) -> str:
        nonlocal complete
        name, operator, other = match[1] or match[4], match[2] or "", match[3] or ""
        known = values.get(name, "")
        if operator.endswith("-"):
            return known or other
        if operator.endswith("+"):
            return other if known else ""
        if not known:
            complete = False
        return known

    return _VARIABLE.sub(replace, word), complete


def join(base: str, path: str) -> str:
    """A path in the image, absolute and without ``.`` and ``..``."""
    parts: list[str] = []
    for part in (path if path.startswith("/") else f"{base}/{path}").split("/"):
        if part == "..":
            parts[-1:] = []
        elif part not in {"", "."}:
            parts.append(part)
    return "/" + "/".join(parts)


def _copies(one: Instruction, workdir: str) -> list[Copy]:
    rest, origin = one.value, ""
    while match := re.match(r"--([\w-]+)(?:=(\S*))?\s*", rest):
        if match[1] == "from":
            origin = match[2] or ""
        rest = rest[match.end() :]
    words = _words(rest)
    if len(words) < 2:
        return []
    *sources, target = words
    bodies = {body.name: body for body in one.heredocs}
    copies = []
    for source in sources:
        heredoc = _HEREDOC.match(source)
        body = bodies.get(heredoc[3]) if heredoc else None
        copies.append(Copy(body.name if body else source, target, origin, workdir, len(sources) > 1, one, body))
    return copies


def _words(rest: str) -> list[str]:
    if rest.startswith("["):
        try:
            words = json.loads(rest)
        except ValueError:
            return []
        return [word for word in words if isinstance(word, str)] if isinstance(words, list) else []
    return rest.split()
