"""A file's text with its lines, and edits of it that keep every other byte.

Law: positions are character offsets into the text exactly as it was read (CRLF and BOM included); lines and columns
count from 1. Edits never overlap, and are applied from the end so that no offset moves.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from difflib import unified_diff

from lameduck.core.finding import Edit, FileSpan

BOM = "\ufeff"


class Text:
    """The text of one file (``path`` as the user named it) and where its lines start."""

    __slots__ = ("_starts", "content", "path")

    def __init__(self, path: str, content: str) -> None:
        self.path = path
        self.content = content
        self._starts: list[int] | None = None

    def __repr__(self) -> str:
        return f"Text({self.path!r}, {len(self.content)} characters)"

    @property
    def starts(self) -> list[int]:
        """The offset of each line's first character."""
        if self._starts is None:
            starts, at = [0], self.content.find("\n")
            while at >= 0:
                starts.append(at + 1)
                at = self.content.find("\n", at + 1)
            self._starts = starts
        return self._starts

    @property
    def eol(self) -> str:
        """The file's line ending: that of its first line."""
        first = self.content.find("\n")
        return "\r\n" if first > 0 and self.content[first - 1] == "\r" else "\n"

    def line_of(self, offset: int) -> int:
        """The number of the line (from 1) that holds an offset."""
        return bisect_right(self.starts, offset)

    def line_start(self, offset: int) -> int:
        """The offset of the first character of the line that holds an offset."""
        return self.starts[self.line_of(offset) - 1]

    def line_end(self, offset: int) -> int:
        """The offset of the end of the line that holds an offset, before its line break."""
        end = self.content.find("\n", offset)
        end = len(self.content) if end < 0 else end
        return end - 1 if end > offset and self.content[end - 1] == "\r" else end

    def line(self, number: int) -> str:
        """A line without its line break; "" beyond the end."""
        if not 1 <= number <= len(self.starts):
            return ""
        start = self.starts[number - 1]
        return self.content[start : self.line_end(start)].lstrip(BOM)

    def indent_of(self, offset: int) -> int:
        """How many characters stand before the first non-blank one in the line of an offset."""
        line = self.line(self.line_of(offset))
        return len(line) - len(line.lstrip(" \t"))

    def span(self, start: int, end: int | None = None) -> FileSpan:
        """The place of a stretch of text; trailing white space is left out."""
        end = start + 1 if end is None else end
        while end > start + 1 and self.content[end - 1 : end].isspace():
            end -= 1
        line, last = self.line_of(start), self.line_of(end)
        first, final = self.starts[line - 1], self.starts[last - 1]
        shift = 1 if first == 0 and self.content.startswith(BOM) else 0
        return FileSpan(self.path, line, max(start - first - shift, 0) + 1, last, end - final + 1)


def apply_edits(content: str, edits: Iterable[Edit]) -> str:
    """The text with all edits made; insertions at one place stand in the order given.

    Raises `ValueError` when two of them overlap.
    """
    ordered = sorted(dict.fromkeys(edits), key=lambda edit: (edit.start, edit.end))
    pieces, at = [], 0
    for edit in ordered:
        if edit.start < at:
            raise ValueError(f"edits overlap at offset {edit.start}")
        pieces += [content[at : edit.start], edit.text]
        at = edit.end
    return "".join([*pieces, content[at:]])


def diff(path: str, before: str, after: str) -> str:
    """A unified diff that git and patch can apply; "" when nothing differs."""
    lines = unified_diff(before.splitlines(keepends=True), after.splitlines(keepends=True), f"a/{path}", f"b/{path}")
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)
