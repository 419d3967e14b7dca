"""A fix as a patch of the object, for manifests that are no file to edit: rendered ones, and those of a live cluster.

Law: a strategic merge patch, as kubectl and kustomize read it: containers and ports are matched by their merge keys,
what is taken away is null, any other list that differs is given whole. It holds what the fix changes and no more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import yaml

from lameduck.core.finding import Edit, Finding, Patch
from lameduck.defects.linting import Outcome, place_of
from lameduck.manifests.text import Text, apply_edits
from lameduck.manifests.yamlnode import SEPARATOR

_KEYS = ("name", "containerPort")
"""Merge keys of the lists that fixes reach: containers, init containers, volumes, ports."""


def as_patches(outcome: Outcome, texts: Mapping[str, Text]) -> None:
    """Give the fixes of these texts as patches of their objects, in place of edits of text."""
    outcome.findings[:] = [_patched(one, texts) if place_of(one).file in texts else one for one in outcome.findings]


def _patched(one: Finding, texts: Mapping[str, Text]) -> Finding:
    if one.fix is None or not all(patch.edits and patch.file in texts for patch in one.fix.patches):
        return one
    made = [_of_document(texts[patch.file].content, patch.edits) for patch in one.fix.patches]
    if not all(made):
        return replace(one, fix=None)
    patches = tuple(Patch("", snippet=snippet) for snippet in made)
    return replace(
        one, fix=replace(one.fix, title=f"{one.fix.title}, as a patch for kubectl or kustomize", patches=patches)
    )


def _of_document(content: str, edits: tuple[Edit, ...]) -> str:
    """The patch of the one document that the edits are in: a stream may hold thousands."""
    first, last = min(edit.start for edit in edits), max(edit.end for edit in edits)
    start = max((cut.start() for cut in SEPARATOR.finditer(content, 0, first)), default=0)
    after = SEPARATOR.search(content, last)
    end = after.start() if after else len(content)
    moved = [Edit(edit.start - start, edit.end - start, edit.text) for edit in edits]
    return strategic(content[start:end], apply_edits(content[start:end], moved))


def strategic(before: str, after: str) -> str:
    """The strategic merge patch from one text of manifests to another, as YAML; "" when there is none."""
    try:
        old, new = _documents(before), _documents(after)
    except yaml.YAMLError:
        return ""
    if len(old) != len(new):
        return ""
    pairs = [(one, other) for one, other in zip(old, new, strict=True) if one != other]
    if not all(isinstance(one, dict) and isinstance(one.get("metadata"), dict) for pair in pairs for one in pair):
        return ""
    found = [_object(one, other) for one, other in pairs]
    return "---\n".join(yaml.safe_dump(each, sort_keys=False) for each in found)


def _documents(text: str) -> list[Any]:
    found: list[Any] = []
    for one in yaml.load_all(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # a safe one
        listed = (
            isinstance(one, dict) and str(one.get("kind", "")).endswith("List") and isinstance(one.get("items"), list)
        )
        found += one["items"] if listed else [one]
    return found


def _object(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    meta = {key: value for key, value in old["metadata"].items() if key in {"name", "namespace"}}
    change = _difference(old, new)
    kept = {key: value for key, value in change.items() if key not in {"apiVersion", "kind", "metadata"}}
    inside = change.get("metadata")
    return {
        "apiVersion": old.get("apiVersion"),
        "kind": old.get("kind"),
        "metadata": {**meta, **inside} if isinstance(inside, dict) else meta,
        **kept,
    }


def _difference(old: Any, new: Any) -> Any:
    if isinstance(old, dict) and isinstance(new, dict):
        change = {key: None for key in old if key not in new}
        change |= {key: _difference(old.get(key), value) for key, value in new.items() if old.get(key) != value}
        return change
    if isinstance(old, list) and isinstance(new, list) and (key := _merge_key(old, new)):
        known = {one[key]: one for one in old}
        if {one[key] for one in new} >= set(known):
            return [
                {key: one[key], **_difference(known.get(one[key], {}), one)}
                for one in new
                if known.get(one[key]) != one
            ]
    return new


def _merge_key(*lists: list[Any]) -> str:
    items = [one for each in lists for one in each]
    return next((key for key in _KEYS if items and all(isinstance(one, dict) and key in one for one in items)), "")
