"""A proof's fix as the exact patch of the live object that was proven.

Law: the patch holds what the fix changes of that object and no more, for the container that serves; a hook is replaced
whole, since a hook has one action; a grace period is only ever raised; what the cluster's version does not know is
written in the way that it does. What a fix changes outside of the object (a start script, an image) stays beside it.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import yaml

from lameduck.core.finding import Fix, Patch
from lameduck.defects.patching import strategic

NATIVE_SLEEP = (1, 30)
"""The first version in which the sleep action is on (KEP-3960, beta)."""


def against(fix: Fix, facts: Mapping[str, Any]) -> Fix:
    """The fix against ``facts["manifest"]`` (YAML of one workload); as it is where there is none."""
    live = facts.get("manifest")
    if not live:
        return fix
    patches: list[Patch] = []
    for patch in fix.patches:
        wanted = _fragment(patch)
        if wanted is None:
            patches.append(patch)
        elif snippet := _exact(str(live), wanted, facts):
            patches.append(Patch("", snippet=snippet))
    return replace(fix, patches=tuple(patches))


def _fragment(patch: Patch) -> dict[str, Any] | None:
    """A patch as a part of a workload's manifest, None for what is none."""
    if not patch.snippet or patch.snippet.startswith("#!"):
        return None
    try:
        data = yaml.safe_load(patch.snippet)
    except yaml.YAMLError:
        return None
    return data if isinstance(data, dict) and isinstance(data.get("spec"), dict) else None


def _exact(live: str, wanted: dict[str, Any], facts: Mapping[str, Any]) -> str:
    old = yaml.safe_load(live)
    new = copy.deepcopy(old)
    _merge(new["spec"], wanted["spec"], str(facts.get("container") or ""))
    if _version(str(facts.get("server_version", ""))) < NATIVE_SLEEP:
        _spell_out(new["spec"]["template"]["spec"])
    made = strategic(live, yaml.safe_dump(new, sort_keys=False))
    if not made:
        return ""
    meta = old["metadata"]
    what = f"{old['kind'].lower()}/{meta['name']}"
    return f"# kubectl -n {meta.get('namespace', 'default')} patch {what} --patch-file THIS-FILE\n{made}"


def _merge(into: dict[str, Any], wanted: Mapping[str, Any], container: str) -> None:
    for key, value in wanted.items():
        if key == "containers":
            _containers(into.setdefault(key, []), value, container)
        elif key == "initContainers":
            names = {each["name"] for each in into.get(key) or ()}
            into[key] = [*(into.get(key) or ()), *(each for each in value if each["name"] not in names)]
        elif key == "terminationGracePeriodSeconds":
            into[key] = max(value, into.get(key) or 0)
        elif isinstance(value, dict) and key != "preStop":
            if not isinstance(into.get(key), dict):
                into[key] = {}
            _merge(into[key], value, container)
        elif key == "preStop" and _waits_longer(into.get(key), value):
            continue
        else:
            into[key] = copy.deepcopy(value)


def _containers(into: list[dict[str, Any]], wanted: list[dict[str, Any]], container: str) -> None:
    for each in wanted:
        known = {one["name"]: one for one in into}
        target = known.get(str(each.get("name"))) or known.get(container) or (into[0] if into else None)
        if target is not None:
            _merge(target, {key: value for key, value in each.items() if key != "name"}, container)


def _waits_longer(now: Any, wanted: Mapping[str, Any]) -> bool:
    """Whether a sleep that is there waits as long as the one that is wanted."""
    seconds = ((now or {}).get("sleep") or {}).get("seconds")
    return seconds is not None and seconds >= (wanted.get("sleep") or {}).get("seconds", 1 << 30)


def _spell_out(pod: dict[str, Any]) -> None:
    """The sleep action as a command, for a version that does not have it."""
    for each in pod.get("containers") or ():
        hook = (each.get("lifecycle") or {}).get("preStop") or {}
        if "sleep" in hook:
            each["lifecycle"]["preStop"] = {"exec": {"command": ["sleep", str(hook["sleep"]["seconds"])]}}


def _version(text: str) -> tuple[int, int]:
    """The version of a server, a recent one where it is not known."""
    match = re.match(r"v?(\d+)\.(\d+)", text)
    return (int(match[1]), int(match[2])) if match else (1, 99)
