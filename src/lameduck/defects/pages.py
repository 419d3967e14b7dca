"""The pages of the catalogue, read from the rules' files without running them: explaining one costs no import.

Law: a rule's docstring is its page. The first line is ``Title (CODE, slug).``; sections are lines without
indentation.
"""

from __future__ import annotations

import ast
from pathlib import Path


def files() -> list[Path]:
    """The files of the catalogue, by code."""
    return sorted(Path(__file__).parent.glob("ld[0-9][0-9][0-9]_*.py"))


def page(name: str) -> str | None:
    """The page of a rule by its code or slug, with a final line break; None when there is none."""
    wanted = name.strip().lower().replace("_", "-")
    for file in files():
        stem = file.stem
        if wanted in {stem[:5], stem[6:].replace("_", "-")} or wanted == slug_of(stem):
            return _docstring(file.read_text(encoding="utf-8")) + "\n"
    return None


def slug_of(stem: str) -> str:
    """The slug in a file's name."""
    return stem[6:].replace("_", "-")


def titles() -> list[tuple[str, str, str]]:
    """Code, slug and title of every rule, in order."""
    found = []
    for file in files():
        first = file.read_text(encoding="utf-8").removeprefix('"""').split("\n", 1)[0]
        title = first.split(" (LD")[0].rstrip(".")
        found.append((file.stem[:5].upper(), slug_of(file.stem), title))
    return found


def _docstring(source: str) -> str:
    end = source.find('"""', 3)
    if source.startswith('"""') and end > 0 and "\\" not in source[:end]:
        return source[3:end].rstrip()
    return (ast.get_docstring(ast.parse(source)) or "").rstrip()
