"""Variations of the field cases, invented here: other shells, bases, stages, ways of writing the same, and clean twins.

Each entry was checked by hand against the measured facts; it expects severity, code, file and line.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.manifests.workbench import lines_of, project_of

from lameduck.defects.linting import lint
from lameduck.manifests.project import Settings

DATA = Path(__file__).parents[1] / "data"
TABLE = [one for name in ("variations", "field_variations") for one in json.loads((DATA / f"{name}.json").read_text())]


@pytest.mark.parametrize("one", TABLE, ids=[one["name"] for one in TABLE])
def test_a_variation_is_judged_as_expected(one: dict[str, Any]) -> None:
    settings = Settings(kubernetes=tuple(one["kubernetes"])) if one["kubernetes"] else Settings()
    assert lines_of(lint(project_of(one["files"], settings)).findings) == one["expected"]
