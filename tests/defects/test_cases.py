"""Cases from the field: each fault is found at its place and only there, and the clean ones stay clean."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.manifests.workbench import folder, found_in, lines_of

CASES = Path(__file__).parents[1] / "data" / "cases"


@pytest.mark.parametrize("case", sorted(CASES.iterdir()), ids=lambda case: case.name)
def test_a_case_from_the_field_is_judged_as_it_was_measured(case: Path) -> None:
    files = folder(case)
    expected = files.pop("expected")
    assert "".join(f"{line}\n" for line in lines_of(found_in(files))) == expected


@pytest.mark.parametrize("case", sorted(CASES.iterdir()), ids=lambda case: case.name)
def test_the_same_case_with_windows_line_endings_is_judged_alike(case: Path) -> None:
    files = {path: content.replace("\n", "\r\n") for path, content in folder(case).items() if path != "expected"}
    assert "".join(f"{line}\n" for line in lines_of(found_in(files))) == (case / "expected").read_text()
