"""Hostile text stays text: on a screen, in a timeline, and in every helper that shows what came from outside."""

import io
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from tests.report.stories import failing

from lameduck.defects.judge import examine
from lameduck.report.inert import line
from lameduck.report.picture import picture
from lameduck.report.terminal import comparison, screen
from lameduck.report.timeline_text import bin_for, timeline

ACTS = "\x1b]0;title\x07\x1b[2J\u202eevil\u2066\x9b31m[red]markup[/red]\x08\r"


def shown(*what: object, width: int = 100) -> str:
    out = io.StringIO()
    console = Console(file=out, width=width, force_terminal=False, highlight=False)
    for each in what:
        console.print(each)
    return out.getvalue()


def acts(text: str) -> list[str]:
    return [c for c in text if (ord(c) < 32 and c != "\n") or 0x7F <= ord(c) <= 0x9F or c in "\u202e\u2066"]


@given(st.text(), st.integers(1, 50))
def test_one_line_is_one_line_and_nothing_in_it_acts(text: str, longest: int) -> None:
    told = line(text, longest)
    assert not acts(told)
    assert "\n" not in told
    assert len(line("x" * 1_000_000, longest)) < longest + 40


def test_the_final_screen_and_the_timeline_show_hostile_text_as_text() -> None:
    run = failing(4_000, rollouts=1, prefix=ACTS)
    judged = examine(run)
    finding = replace(judged.proof.findings[0], message=ACTS, evidence=(ACTS, "y" * 1_000_000))
    proof = replace(judged.proof, sentence=ACTS, notes=(ACTS,), findings=[finding], run={"folder": ACTS})
    text = shown(
        screen(proof),
        timeline(picture(run, judged, bin_for(run.load_ended - run.load_started, 100)), 100),
        comparison([(ACTS, proof)]),
    )
    assert not acts(text)
    assert "[red]markup[/red]" in text
    assert len(text) < 60_000


@pytest.mark.parametrize("width", [30, 60, 80, 200])
def test_the_timeline_fits_any_width(width: int) -> None:
    run = failing(4_000)
    judged = examine(run)
    text = shown(timeline(picture(run, judged, bin_for(run.load_ended - run.load_started, width)), width), width=width)
    assert max(map(len, text.splitlines())) <= width


def test_the_timeline_shows_rollouts_losses_and_every_pod_without_colour() -> None:
    run = failing(8_000)
    judged = examine(run)
    text = shown(timeline(picture(run, judged, bin_for(run.load_ended - run.load_started, 120)), 120), width=120)
    assert "═1═" in text
    assert "R refused" in text
    for pod in judged.pods:
        assert pod in text
    row = next(each for each in text.splitlines() if "7f9c0d-x2v80" in each)
    assert any(letter in row.partition("v80")[2] for letter in "RCr")
    assert "━" in row
