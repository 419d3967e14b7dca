"""What the words of a script become: its arguments, its constant variables, its tests on arguments.

Law: only what the script itself decides is put in. An argument that is not known, and a variable that another program
fills, stay as written.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field

from lameduck.manifests.shell import Kind, Statement, parse_words


@dataclass(slots=True)
class Words:
    """The arguments (None when not known) and variables of a script while it runs."""

    args: tuple[str, ...] | None
    variables: dict[str, str] = field(default_factory=dict)

    def assign(self, name: str, value: str) -> None:
        """Keep a constant; what a command prints is not known."""
        self.variables[name] = value if "$(" not in value and "`" not in value else ""

    def shift(self, count: str) -> None:
        """``shift`` and ``shift N``."""
        if self.args:
            self.args = self.args[int(count) if count.isdigit() else 1 :]

    def take(self, given: tuple[str, ...]) -> None:
        """``set -- WORDS``: the arguments from here on; "$@" in it stands for unknown ones."""
        self.args = None if "$@" in given and given[0] == "$@" else given

    def argument(self, word: str) -> str | None:
        """The value of ``$1`` … ``$9``, with its default; None when it is not known, or for another word."""
        match = re.fullmatch(r"\$\{?([1-9])(:?-[^}]*)?\}?", word)
        if match is None or self.args is None:
            return None
        index = int(match[1]) - 1
        return self.args[index] if index < len(self.args) else (match[2] or "").lstrip(":-")

    def strip(self, statement: Statement) -> tuple[tuple[str, ...], bool]:
        """A command's words without ``exec`` and its options, and whether there was one."""
        words = list(self.expand(statement.words))
        while words and words[0] in {"command", "builtin", "eval", "nohup"} and len(words) > 1:
            if words[0] == "eval":
                if words[1].startswith(("$(", "`")):
                    return (), False  # variables that another program prints
                words = _evaluated(words[1:])
            else:
                words.pop(0)
        execs = bool(words) and words[0] == "exec"
        if execs:
            words.pop(0)
            while words and words[0].startswith("-"):
                option = words.pop(0)
                if option.endswith("a") and words:
                    words.pop(0)
                if option == "--":
                    break
        return tuple(words), execs

    def expand(self, words: tuple[str, ...]) -> tuple[str, ...]:
        """Words with the arguments and constant variables put in, where they are known."""
        found: list[str] = []
        for word in words:
            if word in {"$@", "$*"}:
                found += self.args if self.args is not None else [word]
            elif match := re.fullmatch(r"\$\{?@:(\d)\}?|\$\{@:(\d)\}", word):
                skip = int(match[1] or match[2]) - 1
                found += self.args[skip:] if self.args is not None else ["$@"]
            elif re.fullmatch(r"\$\{?[1-9](:?-[^}]*)?\}?", word):
                value = self.argument(word)
                found.append(word if value is None else value)
            elif match := re.fullmatch(r"\$\{?(\w+)(\[@\])?\}?", word):
                value = self.variables.get(match[1])
                found += shlex.split(value) if value and _splits(value) else [word]
            else:
                found.append(word)
        return tuple(found)


_USER = r"[\"']?(?:\$\(id -u\)|`id -u`|\$\{?E?UID\}?)[\"']?"
_VARIABLE = r"[\"']?x?\$\{?([A-Za-z_]\w*)(?::?-)?\}?[\"']?"


def _of_variable(test: str, values: Mapping[str, str]) -> bool | None:
    """The value of a test on one variable that is known; None for any other test."""
    if match := re.fullmatch(rf"{_VARIABLE} (==?|!=) [\"']?x?([\w./:-]*)[\"']?", test):
        value = values.get(match[1])
        return None if value is None else (value == match[3]) is (match[2] != "!=")
    if match := re.fullmatch(rf"(-z|-n) {_VARIABLE}", test):
        value = values.get(match[2])
        return None if value is None else bool(value) is (match[1] == "-n")
    return None


def evaluate(
    test: str, args: tuple[str, ...] | None, root: bool | None = None, values: Mapping[str, str] | None = None
) -> bool | None:
    """The value of a test on the script's arguments, on whether it runs as root, or on a variable that is known; None
    where it asks something else, or what is not known."""
    test = re.sub(r"\s+", " ", test.strip())
    if " || " not in test and len(parts := re.split(r" && | -a ", test)) > 1:
        found = [evaluate(part, args, root, values) for part in parts]
        return False if False in found else None if None in found else True
    test = test.removeprefix("[").removesuffix("]").strip().strip("[]").strip()
    if match := re.fullmatch(rf"{_USER} (==?|-eq|!=|-ne|-gt) [\"']?0[\"']?", test):
        return None if root is None else root is (match[1] in {"=", "==", "-eq"})
    if values and (known := _of_variable(test, values)) is not None:
        return known
    if args is None:
        return None
    first = args[0] if args else ""
    given = r"[\"']?\$\{?1(?::?-)?\}?[\"']?"
    if match := re.fullmatch(rf"{given} (==?|!=) [\"']?([\w./:*-]*)[\"']?", test):
        return (first == match[2]) is (match[1] != "!=")
    if re.fullmatch(r"[\"']?\$\{1#-\}[\"']? != [\"']?\$\{?1\}?[\"']?|[\"']?\$\{1:0:1\}[\"']? ==? [\"']?-[\"']?", test):
        return first.startswith("-")
    if match := re.fullmatch(rf"(-z|-n) {given}", test):
        return bool(first) is (match[1] == "-n")
    if match := re.fullmatch(r"[\"']?\$#[\"']? (-eq|-gt|-ge|-lt|-ne) (\d+)", test):
        count, number = len(args), int(match[2])
        return {"-eq": count == number, "-gt": count > number, "-ge": count >= number}.get(
            match[1], count < number if match[1] == "-lt" else count != number
        )
    return None


def _splits(value: str) -> bool:
    try:
        return bool(shlex.split(value)) and "$(" not in value
    except ValueError:
        return False


def _evaluated(words: list[str]) -> list[str]:
    inner = parse_words(" ".join(words))
    commands = [one for one in inner if one.kind is Kind.COMMAND and one.words]
    return list(commands[-1].words) if commands else list(words)
