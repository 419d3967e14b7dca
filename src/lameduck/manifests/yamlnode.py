"""YAML documents as nodes that know their place in the text.

Law: nothing is guessed. A value of another type than asked for is `None`; a missing path is a falsy `Node` on which
every question can still be asked. Merge keys and aliases are followed for reading, and known, so that a fix can
refuse to touch what several places share. A document that cannot be read is an error of its own; the others of the
file are still read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import yaml

from lameduck.core.finding import FileSpan
from lameduck.manifests.text import BOM, Text

try:
    from yaml import CSafeLoader as Loader
except ImportError:  # PyYAML without libyaml: the same marks, slower
    from yaml import SafeLoader as Loader  # type: ignore[assignment]

_INT = re.compile(r"[-+]?[0-9]+\Z")
_TRUE, _FALSE = {"true", "yes", "on"}, {"false", "no", "off"}
MAX_DEPTH = 60
_NOTHING: dict[str, tuple[Any, Any, bool]] = {}
_ABSENT = (None, None, False)


class Node:
    """One value of a document, or the absence of one."""

    __slots__ = ("_kids", "_map", "key", "merged", "raw", "shift", "text")

    def __init__(self, text: Text, raw: Any, shift: int = 0, key: Any = None, merged: bool = False) -> None:
        self.text = text
        self.raw = raw
        self.shift = shift
        """What to add to a mark to get an offset into the file."""
        self.key = key
        """The node of the key, for a value of a mapping."""
        self.merged = merged
        """Whether the value came through a merge key."""
        self._map: dict[str, tuple[Any, Any, bool]] | None = None
        self._kids: dict[str, Node] = {}

    def __bool__(self) -> bool:
        return self.raw is not None

    def __repr__(self) -> str:
        return f"Node({self.data!r})" if self else "Node(absent)"

    def _table(self) -> dict[str, tuple[Any, Any, bool]]:
        if self._map is None:
            self._map = _mapping(self.raw) if isinstance(self.raw, yaml.MappingNode) else _NOTHING
        return self._map

    def __getitem__(self, name: str) -> Node:
        kid = self._kids.get(name)
        if kid is None:
            key, value, merged = self._table().get(name, _ABSENT)
            kid = self._kids[name] = Node(self.text, value, self.shift, key, merged=self.merged or merged)
        return kid

    def at(self, *path: str) -> Node:
        """The value below several keys."""
        node = self
        for name in path:
            node = node[name]
        return node

    def keys(self) -> list[str]:
        """The keys of a mapping; empty for anything else."""
        return list(self._table())

    def items(self) -> Iterator[Node]:
        """The items of a sequence; none for anything else."""
        if isinstance(self.raw, yaml.SequenceNode):
            for item in self.raw.value:
                yield Node(self.text, item, self.shift, merged=self.merged)

    def entries(self) -> Iterator[tuple[str, Node]]:
        """The keys and values of a mapping; none for anything else."""
        for name in self._table():
            yield name, self[name]

    @property
    def is_mapping(self) -> bool:
        """Whether it is a mapping."""
        return isinstance(self.raw, yaml.MappingNode)

    @property
    def is_sequence(self) -> bool:
        """Whether it is a sequence."""
        return isinstance(self.raw, yaml.SequenceNode)

    @property
    def is_flow(self) -> bool:
        """Whether it is written in braces or brackets."""
        return bool(getattr(self.raw, "flow_style", False))

    @property
    def is_null(self) -> bool:
        """Whether it is an explicit null, or an empty value."""
        return isinstance(self.raw, yaml.ScalarNode) and self.raw.tag == "tag:yaml.org,2002:null"

    @property
    def string(self) -> str | None:
        """The text of a scalar, as written (numbers too); None for null, mappings and sequences."""
        if isinstance(self.raw, yaml.ScalarNode) and not self.is_null:
            return str(self.raw.value)
        return None

    @property
    def integer(self) -> int | None:
        """A whole number; None for anything else, quoted ones too."""
        if isinstance(self.raw, yaml.ScalarNode) and not self.raw.style and _INT.match(self.raw.value):
            return int(self.raw.value)
        return None

    @property
    def boolean(self) -> bool | None:
        """A truth value as YAML 1.1 reads it, which is how Kubernetes does; None for anything else."""
        if isinstance(self.raw, yaml.ScalarNode) and self.raw.tag == "tag:yaml.org,2002:bool":
            word = self.raw.value.lower()
            return True if word in _TRUE else False if word in _FALSE else None
        return None

    @property
    def strings(self) -> tuple[str, ...] | None:
        """A sequence of scalars as strings; None for anything else."""
        if not self.is_sequence:
            return None
        words = [item.string for item in self.items()]
        return None if any(word is None for word in words) else tuple(word for word in words if word is not None)

    @property
    def data(self) -> Any:
        """Plain data, for comparisons; recursion through aliases ends in None."""
        return _plain(self.raw, 0)

    @property
    def start(self) -> int:
        """The offset of the value's first character."""
        return int(self.raw.start_mark.index) + self.shift

    @property
    def end(self) -> int:
        """The offset behind the value's last character; comments and blank lines after it do not count."""
        return _end(self.raw, 0) + self.shift

    @property
    def entry_start(self) -> int:
        """The offset of the key, where there is one, else of the value."""
        return self.start if self.key is None else int(self.key.start_mark.index) + self.shift

    @property
    def span(self) -> FileSpan:
        """The place of the value."""
        return self.text.span(self.start, self.end)

    @property
    def key_span(self) -> FileSpan:
        """The place of the key, where there is one, else of the value."""
        if self.key is None:
            return self.text.span(self.start, self.text.line_end(self.start))
        return self.text.span(int(self.key.start_mark.index) + self.shift, int(self.key.end_mark.index) + self.shift)

    @property
    def entry_span(self) -> FileSpan:
        """The place of the key with its value."""
        return self.text.span(self.entry_start, self.end)


def _mapping(raw: Any, depth: int = 0) -> dict[str, tuple[Any, Any, bool]]:
    """Keys with their nodes, and whether they came through a merge key."""
    merged: dict[str, tuple[Any, Any, bool]] = {}
    own: dict[str, tuple[Any, Any, bool]] = {}
    for key, value in raw.value:
        if not isinstance(key, yaml.ScalarNode):
            continue
        if key.tag == "tag:yaml.org,2002:merge" and depth < MAX_DEPTH:
            sources = value.value if isinstance(value, yaml.SequenceNode) else [value]
            for source in reversed(sources):
                if isinstance(source, yaml.MappingNode):
                    shared = _mapping(source, depth + 1)
                    merged.update({name: (key, value, True) for name, (key, value, _) in shared.items()})
        else:
            own[str(key.value)] = (key, value, False)
    return {**merged, **own} if merged else own


def _end(raw: Any, depth: int) -> int:
    """A block collection's own end mark lies behind trailing comments, so its last child's end counts."""
    if depth < MAX_DEPTH and not getattr(raw, "flow_style", True) and raw.value:
        last = raw.value[-1]
        if not isinstance(raw, yaml.MappingNode):
            return max(_end(last, depth + 1), int(raw.start_mark.index))
        key, value = last
        if value.start_mark.index >= key.start_mark.index:  # not an alias, whose marks are its anchor's
            return _end(value, depth + 1)
        return int(raw.end_mark.index)
    return int(raw.end_mark.index)


def _plain(raw: Any, depth: int) -> Any:
    if raw is None or depth > MAX_DEPTH:
        return None
    if isinstance(raw, yaml.MappingNode):
        return {name: _plain(value, depth + 1) for name, (_, value, _) in _mapping(raw).items()}
    if isinstance(raw, yaml.SequenceNode):
        return [_plain(value, depth + 1) for value in raw.value]
    return (raw.tag.rsplit(":", 1)[-1], raw.value)


def duplicates(document: Node) -> Iterator[tuple[str, Node, Node]]:
    """Keys that stand twice in one mapping: the key, its first and its next place. The last one counts for readers."""
    pending, seen = [document.raw], set[int]()
    while pending:
        raw = pending.pop()
        if id(raw) in seen or raw is None:
            continue
        seen.add(id(raw))
        if isinstance(raw, yaml.SequenceNode):
            pending += raw.value
        elif isinstance(raw, yaml.MappingNode):
            keys: dict[str, Any] = {}
            for key, value in raw.value:
                pending.append(value)
                if not isinstance(key, yaml.ScalarNode) or key.tag == "tag:yaml.org,2002:merge":
                    continue
                if key.value in keys:
                    first, again = (Node(document.text, each, document.shift) for each in (keys[key.value], key))
                    yield str(key.value), first, again
                keys[key.value] = key


class Unreadable(Exception):
    """A document that cannot be read: what is wrong, and the offset where."""

    def __init__(self, problem: str, offset: int) -> None:
        super().__init__(problem)
        self.problem = problem
        self.offset = offset


SEPARATOR = re.compile(r"^---(?=\s|$)", re.MULTILINE)


def documents(text: Text) -> list[Node | Unreadable]:
    """Every document of a file, in order; one that cannot be read is an `Unreadable` in its place."""
    shift = 1 if text.content.startswith(BOM) else 0
    try:
        return [Node(text, raw, shift) for raw in _compose(text.content[shift:])]
    except (yaml.YAMLError, RecursionError) as error:
        whole = _unreadable(error, shift)
    cuts = [match.start() for match in SEPARATOR.finditer(text.content)]
    if not cuts:
        return [whole]
    bounds = [shift, *(cut for cut in cuts if cut > shift), len(text.content)]
    found: list[Node | Unreadable] = []
    for start, end in pairwise(bounds):
        try:
            found += [Node(text, raw, start) for raw in _compose(text.content[start:end])]
        except (yaml.YAMLError, RecursionError) as error:
            found.append(_unreadable(error, start))
    return found


def _compose(content: str) -> list[Any]:
    loader = Loader(content)
    try:
        found = []
        while loader.check_node():
            raw = loader.get_node()
            if raw is not None:
                found.append(raw)
        return found
    finally:
        loader.dispose()


def _unreadable(error: Exception, shift: int) -> Unreadable:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    offset = int(getattr(mark, "index", getattr(error, "position", 0)))
    problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "nested too deeply"
    return Unreadable(str(problem), offset + shift)
