"""Shell scripts as statements with places, from tree-sitter's bash grammar.

Law: only what decides who gets the stop signal is kept: simple commands with their words, lists, pipelines, branches,
loops, groups, functions, and what runs in the background. What the grammar cannot read stays out; the rest of the
script is still used, and ``errors`` says that something was left out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cache
from typing import Any

from lameduck.manifests.text import Text

_WIDE = re.compile(r"[^\x00-\x7f]")


class Kind(StrEnum):
    """What a statement is."""

    COMMAND = "command"
    PIPELINE = "pipeline"
    AND = "and"
    OR = "or"
    BRANCH = "branch"
    LOOP = "loop"
    GROUP = "group"
    SUBSHELL = "subshell"
    FUNCTION = "function"


@dataclass(frozen=True, slots=True)
class Branch:
    """One way through an if or case: its condition or patterns, and its statements."""

    test: str
    patterns: tuple[str, ...]
    condition: tuple[Statement, ...]
    body: tuple[Statement, ...]


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement; ``start:end`` are offsets in the file, with redirections."""

    kind: Kind
    start: int
    end: int
    words: tuple[str, ...] = ()
    """Of a simple command: quotes removed, expansions as written; ``"${@}"`` is always ``$@``."""
    assigns: tuple[tuple[str, str], ...] = ()
    body: tuple[Statement, ...] = ()
    branches: tuple[Branch, ...] = ()
    complete: bool = False
    """Of a branch: one of its ways is always taken."""
    name: str = ""
    """Of a function: its name; of a case: the word it looks at; of a loop: its condition as written."""
    background: bool = False
    redirected: bool = False
    word_start: int = 0
    """The offset of a simple command's first word, behind its assignments."""
    writes: bool = False
    """Whether its output replaces a file's: a pipe to a console, perhaps."""
    early: bool = False
    """Of a ``trap``: its code stands in double quotes, so its variables are expanded when it is set."""


@dataclass(frozen=True, slots=True)
class Script:
    """A parsed script or ``-c`` string."""

    text: Text
    start: int
    end: int
    interpreter: tuple[str, ...]
    """The words of the ``#!`` line; () without one."""
    statements: tuple[Statement, ...]
    errors: bool


@cache
def _parser() -> Any:
    import tree_sitter_bash  # noqa: PLC0415  many inputs hold no shell at all
    from tree_sitter import Language, Parser  # noqa: PLC0415

    return Parser(Language(tree_sitter_bash.language()))


def interpreter_of(content: str) -> tuple[str, ...]:
    """The words of a ``#!`` line, with env resolved: ``#!/usr/bin/env bash`` is ("bash",)."""
    content = content.removeprefix("\ufeff")
    if not content.startswith("#!"):
        return ()
    words = content[2 : content.find("\n") if "\n" in content else None].split()
    if words and words[0].rsplit("/", 1)[-1] == "env":
        words = words[1:]
        while words and (words[0].startswith("-") or "=" in words[0]):
            words.pop(0)
    return tuple(words)


def parse(text: Text, start: int = 0, end: int | None = None) -> Script:
    """Parse a stretch of a file as a script. Never raises."""
    end = len(text.content) if end is None else end
    return parse_code(text, text.content[start:end], [*range(start, end), end], start, end)


def parse_code(text: Text, code: str, offsets: list[int], start: int, end: int) -> Script:
    """Parse code whose characters lie at ``offsets`` (one more than characters) of a file."""
    builder = _Builder(code, offsets)
    try:
        tree = _parser().parse(builder.source)
        statements = builder.block(tree.root_node)
        errors = bool(tree.root_node.has_error)
    except RecursionError:
        statements, errors = (), True
    return Script(text, start, end, interpreter_of(code), statements, errors)


def parse_words(code: str) -> tuple[Statement, ...]:
    """Parse code whose place does not matter, such as the text of a trap."""
    return parse_code(Text("", code), code, list(range(len(code) + 1)), 0, len(code)).statements


class _Builder:
    """Turns one syntax tree into statements."""

    __slots__ = ("code", "offsets", "source")

    def __init__(self, code: str, offsets: list[int]) -> None:
        self.code = code
        self.offsets = offsets
        # The grammar's scanner asks the C library about wide characters and crashes the process on some
        # (tree-sitter-bash 0.25.1). To a shell each of them is a letter of a word, so a letter stands in for it.
        self.source = _WIDE.sub("x", code.replace("\r", " ").replace("\ufeff", " ")).encode()

    def at(self, byte: int) -> int:
        return self.offsets[min(byte, len(self.offsets) - 1)]

    def text(self, node: Any) -> str:
        return self.code[node.start_byte : node.end_byte]

    def block(self, node: Any) -> tuple[Statement, ...]:
        found: list[Statement] = []
        for child in node.children:
            if child.type == "&" and found:
                found[-1] = _in_background(found[-1], self.at(child.end_byte))
            elif child.is_named:
                found += self.statement(child)
        return tuple(found)

    def statement(self, node: Any) -> list[Statement]:
        build = getattr(self, f"_{node.type}", None)
        if build is not None:
            made: list[Statement] = build(node)
            return made
        if node.type == "ERROR":
            return list(self.block(node))
        return []

    def make(self, kind: Kind, node: Any, **more: Any) -> Statement:
        return Statement(kind, self.at(node.start_byte), self.at(node.end_byte), **more)

    def _command(self, node: Any) -> list[Statement]:
        words: list[str] = []
        assigns: list[tuple[str, str]] = []
        first, redirected, writes = node.start_byte, False, False
        named = [child for child in node.children if child.is_named]
        early = len(named) > 1 and named[1].type == "string" and self.text(named[0]) == "trap"
        for child in node.children:
            if child.type == "variable_assignment":
                assigns.append(self.assignment(child))
            elif child.type in {"file_redirect", "herestring_redirect", "heredoc_redirect"}:
                redirected = True
                writes = writes or self.replaces(child)
            elif child.is_named:
                if not words:
                    first = child.start_byte
                words.append(self.word(child))
        return [
            self.make(
                Kind.COMMAND,
                node,
                words=tuple(words),
                assigns=tuple(assigns),
                word_start=self.at(first),
                redirected=redirected,
                writes=writes,
                early=early,
            )
        ]

    def replaces(self, redirect: Any) -> bool:
        """Whether a redirection is standard output into a file of its own."""
        return redirect.type == "file_redirect" and bool(
            re.match(r"1?>\s*(?![>&]|/dev/(null|std|fd))", self.text(redirect))
        )

    def _test_command(self, node: Any) -> list[Statement]:
        return [self.make(Kind.COMMAND, node, words=("[", self.text(node)), word_start=self.at(node.start_byte))]

    def _declaration_command(self, node: Any) -> list[Statement]:
        assigns = tuple(self.assignment(child) for child in node.children if child.type == "variable_assignment")
        return [self.make(Kind.COMMAND, node, words=("export",), assigns=assigns, word_start=self.at(node.start_byte))]

    def _unset_command(self, node: Any) -> list[Statement]:
        return [self.make(Kind.COMMAND, node, words=("unset",), word_start=self.at(node.start_byte))]

    def _variable_assignment(self, node: Any) -> list[Statement]:
        assign = self.assignment(node)
        return [self.make(Kind.COMMAND, node, assigns=(assign,), word_start=self.at(node.start_byte))]

    def _variable_assignments(self, node: Any) -> list[Statement]:
        assigns = tuple(self.assignment(child) for child in node.children if child.type == "variable_assignment")
        return [self.make(Kind.COMMAND, node, assigns=assigns, word_start=self.at(node.start_byte))]

    def _redirected_statement(self, node: Any) -> list[Statement]:
        body = node.child_by_field_name("body")
        if body is None:
            return []
        made = self.statement(body)
        if made and made[-1].kind is Kind.COMMAND:
            writes = any(self.replaces(child) for child in node.children)
            made[-1] = _with(made[-1], end=self.at(node.end_byte), redirected=True, writes=writes)
        # `cat <<EOF | app` and `app <<EOF && next`: the grammar hangs what follows below the here document
        for redirect in node.children:
            if redirect.type == "heredoc_redirect":
                for child in redirect.children:
                    if child.type == "pipeline":
                        made = [self.make(Kind.PIPELINE, node, body=(*made, *self.block(child)))]
                    elif child.type in {"command", "list", "redirected_statement"}:
                        made += self.statement(child)
        return made

    def _list(self, node: Any) -> list[Statement]:
        left = self.statement(node.children[0])
        kind = Kind.AND if any(child.type == "&&" for child in node.children) else Kind.OR
        right = [made for child in node.children[1:] if child.is_named for made in self.statement(child)]
        return [self.make(kind, node, body=(*left, *right))]

    def _pipeline(self, node: Any) -> list[Statement]:
        return [self.make(Kind.PIPELINE, node, body=self.block(node))]

    def _negated_command(self, node: Any) -> list[Statement]:
        return [made for child in node.children if child.is_named for made in self.statement(child)]

    def _subshell(self, node: Any) -> list[Statement]:
        return [self.make(Kind.SUBSHELL, node, body=self.block(node))]

    def _compound_statement(self, node: Any) -> list[Statement]:
        return [self.make(Kind.GROUP, node, body=self.block(node))]

    _do_group = _compound_statement

    def _function_definition(self, node: Any) -> list[Statement]:
        name, body = node.child_by_field_name("name"), node.child_by_field_name("body")
        if name is None or body is None:
            return []
        return [self.make(Kind.FUNCTION, node, name=self.text(name), body=self.block(body))]

    def _if_statement(self, node: Any) -> list[Statement]:
        branches, complete = [self.branch(node)], False
        for child in node.children:
            if child.type == "elif_clause":
                branches.append(self.branch(child))
            elif child.type == "else_clause":
                branches.append(Branch("", (), (), self.block(child)))
                complete = True
        return [self.make(Kind.BRANCH, node, branches=tuple(branches), complete=complete)]

    def branch(self, node: Any) -> Branch:
        """The condition and statements of an if or elif, up to the next clause."""
        condition: list[Statement] = []
        body: list[Statement] = []
        test, behind = "", False
        for child in node.children:
            if child.type == "then":
                behind = True
            elif child.type in {"elif_clause", "else_clause"}:
                break
            elif child.type == "&" and behind and body:
                body[-1] = _in_background(body[-1], self.at(child.end_byte))
            elif child.is_named:
                if not behind:
                    test = f"{test} {self.text(child)}".strip()
                (body if behind else condition).extend(self.statement(child))
        return Branch(test, (), tuple(condition), tuple(body))

    def _case_statement(self, node: Any) -> list[Statement]:
        value = node.child_by_field_name("value")
        branches, complete = [], False
        for item in node.children:
            if item.type != "case_item":
                continue
            values = item.children_by_field_name("value")
            patterns = tuple(self.word(one) for one in values)
            complete = complete or "*" in patterns
            rest = [child for child in item.children if child not in values]
            body: list[Statement] = []
            for child in rest:
                if child.type == "&" and body:
                    body[-1] = _in_background(body[-1], self.at(child.end_byte))
                elif child.is_named:
                    body += self.statement(child)
            branches.append(Branch("", patterns, (), tuple(body)))
        word = self.word(value) if value is not None else ""
        return [self.make(Kind.BRANCH, node, branches=tuple(branches), complete=complete, name=word or "case")]

    def _loop(self, node: Any) -> list[Statement]:
        body, condition, test = node.child_by_field_name("body"), [], node.children[0].type
        if node.type == "for_statement":
            test = "for in"  # over words, so it ends; `for ((;;))` is of another type
        for child in node.children_by_field_name("condition"):
            if child.is_named:
                condition += self.statement(child)
                test += f" {self.text(child)}"
        inner = self.block(body) if body is not None else ()
        branch = Branch(test, (), tuple(condition), inner)
        return [self.make(Kind.LOOP, node, branches=(branch,), body=inner, name=test)]

    _while_statement = _loop
    _for_statement = _loop
    _c_style_for_statement = _loop

    def assignment(self, node: Any) -> tuple[str, str]:
        name, value = node.child_by_field_name("name"), node.child_by_field_name("value")
        return (self.text(name) if name is not None else "", self.word(value) if value is not None else "")

    def word(self, node: Any) -> str:
        """A word without its quotes; ``"${@}"`` and ``"$@"`` are one thing."""
        if node.type in {"command_name", "concatenation", "string"} and node.child_count:
            inner = "".join(self.word(child) for child in node.children) if node.type != "string" else self.inside(node)
            return _plain(inner)
        raw = self.text(node)
        if node.type == "raw_string":
            return raw[1:-1]
        if node.type == "ansi_c_string":
            return raw[2:-1]
        if node.type == "word":
            return raw.replace("\\\n", "").replace("\\", "")
        return _plain(raw)

    def inside(self, node: Any) -> str:
        raw = self.text(node)
        return raw[1:-1].replace("\\\n", "").replace('\\"', '"') if raw.startswith('"') and len(raw) > 1 else raw


_ARGUMENTS = {"${@}": "$@", "$*": "$@", "${*}": "$@", "${@:1}": "$@"}


def _plain(word: str) -> str:
    return _ARGUMENTS.get(word, word)


def _with(statement: Statement, **changes: Any) -> Statement:
    return replace(statement, **changes)


def _in_background(statement: Statement, end: int) -> Statement:
    return _with(statement, background=True, end=end)
