"""The catalogue: one defect or symptom, one file, one name, three faces (lint, explain, fix).

Law: a file ``ldNNN_slug.py`` defines ``DEFECT``; its docstring is the defect's page. The registry knows codes from
the file names alone, so that explaining one rule imports one file.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from lameduck.core.finding import Defect


@cache
def codes() -> dict[str, str]:
    """Every code in order, with the name of the module that defines it."""
    files = sorted(Path(__file__).parent.glob("ld[0-9][0-9][0-9]_*.py"))
    return {file.stem[:5].upper(): f"{__name__}.{file.stem}" for file in files}


def module(code: str) -> ModuleType:
    """The module of one code. Raises `KeyError` for a code that the catalogue does not have."""
    return import_module(codes()[code.upper()])


def defect(code: str) -> Defect:
    """One catalogue entry. Raises `KeyError` for a code that the catalogue does not have."""
    return cast("Defect", module(code).DEFECT)
