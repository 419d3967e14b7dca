"""Applying a proof's fixes to a bare command's workload, so that they can be proven.

Law: what is applied is exactly what the finding printed (its patch is read back), never something near it; what a
patch changes outside the workload (a start script, an image) is left, and said to be left.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import yaml

from lameduck.core.finding import Fix
from lameduck.core.instants import SECOND
from lameduck.core.proof import Proof
from lameduck.local.spec import LocalSpec


@dataclass(frozen=True, slots=True)
class Mended:
    """The workload with the fixes in, in words what was applied, and what could not be."""

    spec: LocalSpec
    applied: tuple[str, ...]
    left: tuple[str, ...]


def mend(spec: LocalSpec, proof: Proof) -> Mended:
    """The workload with every applicable patch of the proof's findings."""
    applied: list[str] = []
    left: list[str] = []
    for finding in proof.findings:
        if finding.fix is None:
            left.append(f"{finding.defect.code} has no fix that a patch could hold")
            continue
        for patch in _patches(finding.fix):
            if patch is None:
                left.append(f"the start script of {finding.defect.code}: {finding.fix.title}")
                continue
            spec, done = _apply(spec, patch)
            applied += [line for line in done if line not in applied]
    return Mended(spec, tuple(applied), tuple(dict.fromkeys(left)))


def _patches(fix: Fix) -> Iterator[Mapping[str, Any] | None]:
    """Each patch as a manifest fragment; None for what is no manifest."""
    for patch in fix.patches:
        data = None if patch.snippet.startswith("#!") else yaml.safe_load(patch.snippet)
        yield data if isinstance(data, dict) else None


def _apply(spec: LocalSpec, patch: Mapping[str, Any]) -> tuple[LocalSpec, list[str]]:
    body = patch.get("spec", {})
    pod = body.get("template", {}).get("spec", {})
    done: list[str] = []
    rolling = body.get("strategy", {}).get("rollingUpdate", {})
    if rolling:
        spec = replace(spec, max_surge=rolling["maxSurge"], max_unavailable=rolling["maxUnavailable"])
        done.append(f"maxSurge {rolling['maxSurge']}, maxUnavailable {rolling['maxUnavailable']}")
    for container in pod.get("containers", []):
        seconds = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds")
        if seconds is not None:
            spec = replace(spec, pre_stop_sleep=max(seconds, spec.pre_stop_sleep or 0), pre_stop_exec=None)
            done.append(f"preStop sleep {spec.pre_stop_sleep} s")
    grace = pod.get("terminationGracePeriodSeconds")
    if grace is not None:
        spec = replace(spec, grace=max(grace * SECOND, spec.grace))
        done.append(f"terminationGracePeriodSeconds {spec.grace // SECOND}")
    return spec, done
