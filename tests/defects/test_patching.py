"""A fix given as a strategic merge patch does what the edits of the text do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.manifests.workbench import found_in

from lameduck.core.finding import Confidence, Patch
from lameduck.defects.patching import strategic
from lameduck.manifests.text import apply_edits

DATA = Path(__file__).parents[1] / "data"
TABLE = [one for name in ("variations", "field_variations") for one in json.loads((DATA / f"{name}.json").read_text())]
MANIFESTS = [
    one
    for one in TABLE
    if any(path.endswith(".yaml") for path in one["files"]) and not any("LD001" in each for each in one["expected"])
]


def applied(old: Any, patch: Any) -> Any:
    """What an API server makes of a strategic merge patch: null deletes, named items are merged."""
    if isinstance(old, dict) and isinstance(patch, dict):
        rest = {key: value for key, value in old.items() if key not in patch}
        return rest | {key: applied(old.get(key), value) for key, value in patch.items() if value is not None}
    if isinstance(old, list) and isinstance(patch, list) and all(isinstance(one, dict) for one in patch):
        key = next((key for key in ("name", "containerPort") if all(key in one for one in (*old, *patch))), None)
        if key is not None:
            changes = {one[key]: one for one in patch}
            return [applied(one, changes.pop(one[key], {})) for one in old] + list(changes.values())
    return patch


def listed(text: str) -> list[Any]:
    documents = [one for one in yaml.safe_load_all(text) if one]
    return [item for one in documents for item in (one["items"] if one.get("kind") == "List" else [one])]


def identity(one: Any) -> tuple[str, str]:
    return one["kind"], one["metadata"]["name"]


@pytest.mark.parametrize("one", MANIFESTS, ids=[one["name"] for one in MANIFESTS])
def test_the_patch_makes_of_the_object_what_the_edits_make_of_the_text(one: dict[str, Any]) -> None:
    for finding in found_in(one["files"], confidence=Confidence.POSSIBLE):
        for patch in finding.fix.patches if finding.fix else ():
            check(one["files"], patch)


def check(files: dict[str, str], patch: Patch) -> None:
    if not patch.edits or not patch.file.endswith(".yaml"):
        return
    before = files[patch.file]
    after = apply_edits(before, patch.edits)
    patches = {identity(each): each for each in yaml.safe_load_all(strategic(before, after))}
    assert patches
    mended = [applied(each, patches.get(identity(each), {})) for each in listed(before)]
    assert mended == listed(after)
