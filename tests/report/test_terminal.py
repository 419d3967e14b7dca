import io
import unicodedata
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from tests.core.test_proof import proof
from tests.diagnosis.worlds import lost

from lameduck.core.finding import Fix, Patch, Safety
from lameduck.core.proof import Proof
from lameduck.report.inert import inert
from lameduck.report.terminal import comparison, screen


def shown(judged: Proof, width: int = 100) -> str:
    out = io.StringIO()
    Console(file=out, width=width, color_system=None).print(screen(judged))
    return out.getvalue()


def test_a_proven_run_shows_its_sentence_its_bounds_and_its_gates() -> None:
    text = shown(proof())
    assert "PROVEN" in text
    assert "0 of 624 requests in exposed windows were lost" in text
    assert text.count("✓") == 5
    assert "✗" not in text


def test_a_failed_run_shows_cause_evidence_and_the_whole_fix() -> None:
    text = shown(proof(*(lost(20 + n, "refused") for n in range(30))))
    assert "FAILED" in text
    assert "30 refused, on connections: 30 new" in text
    assert "LD101 no-drain-delay  seen as LD901" in text
    assert "no preStop delayed the stop signal" in text
    assert "terminationGracePeriodSeconds" in text
    assert "preStop" in text


@pytest.mark.parametrize(
    ("snippet", "place"),
    [
        ("--- a/web.yaml\n+++ b/web.yaml\n", "as a diff of the file:"),
        ("--- a/-\n+++ b/-\n", "as a diff of what was piped in:"),
        ("lifecycle: {}\n", "in the workload's manifest:"),
    ],
)
def test_a_patch_says_where_it_belongs(snippet: str, place: str) -> None:
    judged = proof(*(lost(20 + n, "refused") for n in range(30)))
    (finding, *_) = judged.findings
    fix = Fix("wait", Safety.SAFE, (Patch("web.yaml", snippet=snippet),))
    changed = replace(judged, findings=(replace(finding, fix=fix),))
    assert place in shown(changed)


def test_a_gate_that_fell_says_what_to_do() -> None:
    text = " ".join(shown(proof(completed=0)).split())
    assert "INCONCLUSIVE" in text
    assert "✗ every rollout observed to complete: 0 of 1 completed → see why the rollout hangs" in text


def test_foreign_text_is_text_and_never_markup_or_an_escape() -> None:
    hostile = proof()
    fields = {name: getattr(hostile, name) for name in Proof.__slots__}
    text = shown(Proof(**{**fields, "notes": ["[bold red]x[/] \x1b[31mred\x07"]}))
    assert "[bold red]x[/]" in text
    assert "\x1b" not in text
    assert "\\x1b[31mred\\x07" in text


@given(st.text())
def test_inert_text_has_no_character_that_a_terminal_acts_on(text: str) -> None:
    assert not [c for c in inert(text) if c != "\n" and unicodedata.category(c) in {"Cc", "Cf", "Cs"}]


def test_inert_text_turns_no_page_around_and_has_an_end() -> None:
    assert inert("a\u202eb") == "a\\u202eb"
    assert inert("x" * 1_000_000).endswith("(998,000 more characters)")
    assert inert("Größe 模型 ≤ 3") == "Größe 模型 ≤ 3"


def test_several_proofs_fit_one_table() -> None:
    out = io.StringIO()
    table = comparison([("before", proof(lost(20, "refused"))), ("after", proof())])
    Console(file=out, width=120, color_system=None).print(table)
    lines = out.getvalue().splitlines()
    assert "FAILED" in lines[1]
    assert "LD101" in lines[1]
    assert "PROVEN" in lines[2]
