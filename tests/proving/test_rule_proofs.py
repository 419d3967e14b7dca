"""What a rule says is lost is lost, and what `lameduck fix` mends is not: the quick ones of bench/rule_proofs.py."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest
from tests.proving.brisk import fallen

from lameduck.core.proof import Verdict

pytestmark = [pytest.mark.rollout, pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def proofs() -> ModuleType:
    """bench/rule_proofs.py as a module."""
    spec = importlib.util.spec_from_file_location("rule_proofs", Path(__file__).parents[2] / "bench" / "rule_proofs.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["rule_proofs"] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("code", ["LD103", "LD404"])
def test_the_bad_one_loses_requests_and_the_mended_one_none(code: str, proofs: ModuleType, tmp_path: Path) -> None:
    (pair,) = [one for one in proofs.PAIRS if one.code == code]
    bad, good = proofs.prove_pair(pair, tmp_path)
    assert bad.verdict is Verdict.FAILED
    # A machine that stood still may bring the server's exit before the next request on a kept-alive connection.
    assert good.failed == 0 or (fallen(good) and good.failed < bad.failed / 4)


def test_every_rule_is_shown_or_says_why_not(proofs: ModuleType) -> None:
    from lameduck.defects.linting import rules

    listed = {one.code for one in proofs.PAIRS} | {code for codes in proofs.NOT_SHOWN for code in codes.split()}
    assert listed == set(rules()) - {"LD001", "LD002"}
