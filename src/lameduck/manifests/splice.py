"""Edits of YAML by position: put, replace and remove entries, every other byte kept.

Law: an edit is made only where its effect is certain: not in what an alias or a merge key shares, not in a template.
The style around it is kept: block or flow, the step of indentation, the line ending. `Refused` says why an edit was
not made.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from lameduck.core.finding import Edit
from lameduck.manifests.text import Text
from lameduck.manifests.yamlnode import Node

Value = Mapping[str, Any] | list[Any] | str | int


_WORDS_OF_YAML = frozenset("true false yes no on off y n null".split())  # noqa: SIM905
"""What YAML 1.1 does not read as a string."""


class Refused(Exception):
    """An edit that cannot be made safely, and why."""


def put(node: Node, path: tuple[str, ...], value: Value) -> list[Edit]:
    """Set the value below ``node`` at ``path``; missing mappings are made. Raises `Refused`."""
    _check(node)
    here = node
    for index, key in enumerate(path):
        child = here[key]
        rest: Value = value
        if not child:
            for name in reversed(path[index + 1 :]):
                rest = {name: rest}
            return [_insert(here, key, rest)]
        _check(child)
        if index == len(path) - 1:
            return [_replace(child, value)]
        if child.is_null:
            for name in reversed(path[index + 1 :]):
                rest = {name: rest}
            return [_fill(child, rest)]
        if not child.is_mapping:
            raise Refused(f"{key} is no mapping")
        here = child
    return []


def append(node: Node, value: Mapping[str, Any]) -> Edit:
    """Put a mapping behind the last item of a sequence that has items. Raises `Refused`."""
    _check(node)
    if not node.is_sequence or not node.raw.value:
        raise Refused("it is no list with items")
    text = node.text
    if node.is_flow:
        at = node.end - 1
        while text.content[at - 1].isspace():
            at -= 1
        lead = " " if text.content[at - 1] == "," else ", "
        return Edit(at, at, f"{lead}{_inline(text, value)}")
    column = _column(text, node.start)
    return _after(text, node, text.eol.join(" " * column + line for line in _item(value, step_of(text))))


def remove(node: Node, key: str) -> list[Edit]:
    """Take an entry out of a mapping, its own comment lines left alone. Raises `Refused`."""
    child = node[key]
    if not child:
        return []
    _check(node)
    if child.merged:
        raise Refused(f"{key} comes through a merge key")
    text = node.text
    if node.is_flow:
        return [_remove_from_flow(text, node, child)]
    start, end = text.line_start(child.entry_start), _after_line(text, _content_end(child))
    if text.content[start : child.entry_start].strip():
        if len(node.keys()) == 1:
            raise Refused(f"{key} is the only entry of a list item")
        following = _next_key(node, child)
        if following is None:
            raise Refused(f"{key} stands first in a list item")
        return [Edit(child.entry_start, following, "")]
    if len(node.keys()) == 1:
        return [Edit(start, end, "")] if node.key is None else [_empty(node, start, end)]
    return [Edit(start, end, "")]


def entry_text(node: Node, key: str) -> str:
    """An entry as written, dedented to column 0, for moving it elsewhere."""
    child = node[key]
    text, indent = node.text, _column(node.text, child.entry_start)
    lines = text.content[child.entry_start : _content_end(child)].split("\n")
    return "\n".join([lines[0], *(line[indent:] if line[:indent].isspace() else line for line in lines[1:])])


def insert_text(node: Node, block: str) -> Edit:
    """Put dedented lines of YAML at the end of a block mapping. Raises `Refused` for flow style."""
    _check(node)
    if node.is_flow or not node.is_mapping or not node.keys():
        raise Refused("the target is not a block mapping")
    text = node.text
    indent = " " * _mapping_column(node)
    lines = text.eol.join(f"{indent}{line.rstrip()}" if line.strip() else "" for line in block.split("\n"))
    return _after(text, node, lines)


def is_json(text: Text) -> bool:
    """Whether a file is JSON, which YAML's flow style would spoil for other readers."""
    return text.content.lstrip("\ufeff \t\r\n").startswith(("{", "["))


def step_of(text: Text) -> int:
    """How many columns the file indents by: the first nested line's own."""
    match = re.search(r"^(\S[^\n#]*:)[ \t]*\r?\n( +)(?=[^\s#-])", text.content, re.MULTILINE)
    return len(match[2]) if match and len(match[2]) <= 8 else 2


def render(value: Value, indent: int, step: int, eol: str) -> str:
    """A mapping as block style lines, each with its indentation; the first one too."""
    return eol.join(" " * indent + line for line in _lines(value, step))


def flow(value: Value) -> str:
    """A value in flow style."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {flow(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(flow(inner) for inner in value) + "]"
    return _scalar(value)


def _lines(value: Value, step: int) -> list[str]:
    if not isinstance(value, Mapping):
        return [flow(value)]
    found: list[str] = []
    for key, inner in value.items():
        if isinstance(inner, Mapping):
            found.append(f"{key}:")
            found += [" " * step + line for line in _lines(inner, step)]
        elif isinstance(inner, list) and any(isinstance(one, Mapping) for one in inner):
            found.append(f"{key}:")
            found += [" " * step + line for one in inner for line in _item(one, step)]
        else:
            found.append(f"{key}: {flow(inner)}")
    return found


def _item(value: Value, step: int) -> list[str]:
    first, *rest = _lines(value, step)
    return [f"- {first}", *(f"  {line}" for line in rest)]


def _scalar(value: str | int) -> str:
    if isinstance(value, int):
        return str(value).lower() if isinstance(value, bool) else str(value)
    if re.fullmatch(r"[A-Za-z/][\w./-]*", value) and value.lower() not in _WORDS_OF_YAML:
        return value
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _check(node: Node) -> None:
    if node.merged:
        raise Refused("it comes through a merge key")
    if node.raw is None:
        return
    content = node.text.content
    match = re.compile(r"&([^\s,\[\]{}]+)").match(content, node.start)
    if match and re.search(rf"\*{re.escape(match[1])}(?![^\s,\[\]{{}}])", content):
        raise Refused(f"other places share it by the alias *{match[1]}")
    if (
        node.key is not None
        and re.match(r"[^\n]*:\s+\*", content[node.entry_start : node.text.line_end(node.entry_start)])
        and node.start < node.entry_start
    ):
        raise Refused("it is an alias of another place")


def _column(text: Text, offset: int) -> int:
    return text.span(offset).column - 1


def _mapping_column(node: Node) -> int:
    first = node.raw.value[0][0]
    return _column(node.text, int(first.start_mark.index) + node.shift)


def _insert(node: Node, key: str, value: Value) -> Edit:
    if not node.is_mapping:
        raise Refused("it is no mapping")
    text = node.text
    if node.is_flow:
        close = node.end - 1
        at = close
        while text.content[at - 1].isspace():
            at -= 1
        lead = "" if text.content[at - 1] in "{," else ", "
        if text.content[at - 1] == ",":
            lead = " "
        name, inner = json.dumps(key) if is_json(text) else key, _inline(text, value)
        return Edit(at, at, f"{lead}{name}: {inner}")
    step, column = step_of(text), _mapping_column(node)
    return _after(text, node, render({key: value}, column, step, text.eol))


def _after(text: Text, node: Node, lines: str) -> Edit:
    at = _after_line(text, _content_end(node))
    if at > 0 and text.content[at - 1] != "\n":
        return Edit(at, at, f"{text.eol}{lines}")
    return Edit(at, at, f"{lines}{text.eol}")


def _content_end(node: Node) -> int:
    """The end of the last character that belongs to the value; blank lines of a kept block scalar belong to it."""
    content, end = node.text.content, node.end
    if _keeps(node):
        return end
    while end > node.start and content[end - 1].isspace():
        end -= 1
    return end


def _keeps(node: Node) -> bool:
    raw = node.raw
    while not isinstance(raw.value, str):
        if not raw.value or getattr(raw, "flow_style", False):
            return False
        last = raw.value[-1]
        raw = last[1] if isinstance(last, tuple) else last
    start = int(raw.start_mark.index) + node.shift
    return bool(re.match(r"(?:[&!]\S+\s+)*[|>]\d?\+", node.text.content[start : start + 80]))


def _after_line(text: Text, end: int) -> int:
    """The start of the line behind the one that ends at ``end``; the end of the file when there is none."""
    if end > 0 and text.content[end - 1] == "\n":
        return end
    newline = text.content.find("\n", end)
    return len(text.content) if newline < 0 else newline + 1


def _replace(node: Node, value: Value) -> Edit:
    if node.is_null and node.start == node.end:
        return _fill(node, value)
    if isinstance(value, Mapping) or node.is_mapping or node.is_sequence:
        if node.is_flow:
            return Edit(node.start, node.end, _inline(node.text, value))
        raise Refused("a block would have to be written anew")
    return Edit(node.start, node.end, _inline(node.text, value))


def _inline(text: Text, value: Value) -> str:
    return json.dumps(value) if is_json(text) else flow(value)


def _fill(node: Node, value: Value) -> Edit:
    """Give a null entry a value."""
    if node.start != node.end:
        return Edit(node.start, node.end, _inline(node.text, value))
    text, key_end = node.text, int(node.key.end_mark.index) + node.shift
    colon = text.content.index(":", key_end) + 1
    if not isinstance(value, Mapping):
        return Edit(colon, colon, f" {flow(value)}")
    column, step = _column(text, node.entry_start), step_of(text)
    at = text.line_end(colon)
    return Edit(at, at, text.eol + render(value, column + step, step, text.eol))


def _next_key(node: Node, child: Node) -> int | None:
    starts = sorted(int(key.start_mark.index) + node.shift for key, _ in node.raw.value)
    return next((start for start in starts if start > child.entry_start), None)


def _empty(node: Node, start: int, end: int) -> Edit:
    """The only entry goes: its mapping becomes an empty one."""
    text = node.text
    colon = text.content.index(":", int(node.key.end_mark.index) + node.shift) + 1
    if text.content[colon : text.line_end(colon)].strip():
        raise Refused("a comment or an anchor stands behind its key")
    del start
    break_at = end - len(text.eol) if text.content[:end].endswith(text.eol) else end
    return Edit(colon, break_at, " {}")


def _remove_from_flow(text: Text, node: Node, child: Node) -> Edit:
    content, start, end = text.content, child.entry_start, child.end
    after = re.compile(r"\s*,\s*").match(content, end)
    if after:
        return Edit(start, after.end(), "")
    before = start
    while before > node.start and content[before - 1].isspace():
        before -= 1
    if content[before - 1] == ",":
        before -= 1
    return Edit(before, end, "")
