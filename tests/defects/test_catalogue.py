"""The catalogue is whole: every file defines its own code, slug and page, and proofs can print their fix sets."""

from __future__ import annotations

import re

import pytest

from lameduck.core.finding import Safety
from lameduck.defects import codes, defect, module

STATIC = [code for code in codes() if code < "LD900"]
PROVABLE = ["LD101", "LD102", "LD104", "LD105", "LD109", "LD201", "LD202", "LD401", "LD404", "LD605"]


@pytest.mark.parametrize("code", STATIC)
def test_a_file_is_named_after_its_defect_and_its_docstring_is_the_page(code: str) -> None:
    found = defect(code)
    assert found.code == code
    assert codes()[code].endswith(f"{code.lower()}_{found.slug.replace('-', '_')}")
    page = module(code).__doc__ or ""
    assert page.startswith(f"{found.title} ({code}, {found.slug}).")
    assert "What it finds\n" in page and "Why it loses requests\n" in page and "Fix and its safety\n" in page


def test_no_two_defects_share_a_slug() -> None:
    slugs = [defect(code).slug for code in STATIC]
    assert len(slugs) == len(set(slugs))
    assert all(re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", slug) for slug in slugs)


@pytest.mark.parametrize("code", PROVABLE)
def test_a_proof_without_any_file_still_gets_a_snippet(code: str) -> None:
    fix = module(code).proof_fix({"pre_stop_seconds": 7, "server": "gunicorn"})
    assert fix is not None
    assert all(patch.snippet for patch in fix.patches)


@pytest.mark.parametrize("code", ["LD301", "LD803"])
def test_what_only_the_owner_can_know_is_never_invented(code: str) -> None:
    assert module(code).proof_fix({}) is None


@pytest.mark.parametrize("code", ["LD401", "LD404"])
def test_a_mended_script_comes_with_a_drain_window_in_the_same_fix(code: str) -> None:
    fix = module(code).proof_fix({"pre_stop_seconds": 4, "grace_seconds": 44, "shell": "/bin/bash"})
    assert fix.safety is Safety.UNSAFE
    script, manifest = (patch.snippet for patch in fix.patches)
    assert script.startswith("#!/bin/bash\n")
    assert "seconds: 4\n" in manifest and "terminationGracePeriodSeconds: 44\n" in manifest
