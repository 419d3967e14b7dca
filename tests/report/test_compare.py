"""Two runs side by side: what counts as worse, and that chance alone never does."""

import math
import random
from array import array
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.report.browser import chromium, opened
from tests.report.stories import failing, keep, proven

from lameduck.cli import main
from lameduck.core.exchange import Failure, Kind, Stage
from lameduck.core.instants import MILLISECOND, SECOND
from lameduck.core.recording import Recording
from lameduck.core.run import Run
from lameduck.core.timeline import Milestone
from lameduck.defects.judge import examine
from lameduck.report.bootstrap import Blocks, difference, permuted
from lameduck.report.compare import Comparison, Grade, compare
from lameduck.report.compare_text import markdown, page


def slower(run: Run, by: int) -> Run:
    """The same run with every answer later (ns)."""
    recording = Recording()
    for name, value in vars(run.recording).items():
        setattr(recording, name, value)
    recording.finished = array("q", (end + by for end in run.recording.finished))
    return replace(run, recording=recording)


def compared(first: Run, second: Run) -> Comparison:
    return compare((first, examine(first)), (second, examine(second)))


def grades(told: Comparison) -> dict[str, Grade]:
    return {row.name: row.grade for row in told.rows if row.grade}


def test_a_run_is_no_worse_than_itself() -> None:
    told = compared(failing(4_000), failing(4_000))
    assert not told.worse
    assert set(grades(told).values()) == {Grade.SAME}
    assert told.sentence == "no difference beyond noise"
    assert (told.fixed, told.new) == ([], [])


def test_a_refuted_claim_is_worse_and_its_findings_are_new() -> None:
    told = compared(proven(4_000), failing(4_000))
    assert told.worse
    assert grades(told)["verdict"] is grades(told)["requests lost"] is Grade.WORSE
    assert any(name.startswith("LD101") for name in told.new)


def test_a_mended_run_is_better_and_its_findings_are_fixed() -> None:
    told = compared(failing(4_000), proven(4_000))
    assert not told.worse
    assert told.sentence.startswith("B is better: verdict, requests lost")
    assert any(name.startswith("LD101") for name in told.fixed)


def test_a_few_more_losses_are_within_noise_and_many_more_are_not() -> None:
    assert grades(compared(failing(4_000, loss=0.20), failing(4_000, loss=0.22)))["requests lost"] is Grade.SAME
    assert grades(compared(failing(4_000, loss=0.10), failing(4_000, loss=0.60)))["requests lost"] is Grade.WORSE


def test_one_loss_refutes_what_was_proven_though_no_test_would_say_so() -> None:
    told = compared(proven(4_000), failing(4_000, loss=0.02))
    assert grades(told)["verdict"] is Grade.WORSE
    assert grades(told)["requests lost"] is Grade.SAME


@pytest.mark.parametrize(
    ("by", "grade"),
    [(0, Grade.SAME), (100_000, Grade.SAME), (20 * MILLISECOND, Grade.WORSE), (-3 * MILLISECOND, Grade.BETTER)],
)
def test_response_times_differ_only_beyond_their_bootstrap_interval(by: int, grade: Grade) -> None:
    told = grades(compared(proven(4_000), slower(proven(4_000), by)))
    assert told["p50 before rollouts"] is grade
    assert told["p50 during rollouts"] is grade


def test_an_inconclusive_run_is_neither_better_nor_worse() -> None:
    told = compared(proven(4_000), replace(proven(4_000), complete=False))
    assert "verdict" not in grades(told)
    assert not told.worse


durations = st.lists(st.tuples(st.integers(0, 20 * SECOND), st.integers(1, 60 * SECOND)), min_size=1, max_size=60)


@settings(max_examples=30)
@given(durations, durations, st.sampled_from([0.5, 0.9, 0.99]))
def test_an_interval_holds_only_values_that_were_seen_and_is_the_same_each_time(
    first: list[tuple[int, int]], second: list[tuple[int, int]], share: float
) -> None:
    def blocks(given_: list[tuple[int, int]]) -> Blocks:
        made = Blocks(0)
        for at, lasted in given_:
            made.add(at, lasted)
        return made

    a, b, change = difference(blocks(first), blocks(second), share)
    assert (a, b, change) == difference(blocks(first), blocks(second), share)
    for told, values in ((a, first), (b, second)):
        low, high = min(v for _, v in values), max(v for _, v in values)
        assert low * 0.99 - 1 <= told.low <= told.high <= high * 1.01 + 1
        exact = sorted(v for _, v in values)[max(0, -int(-share * len(values) // 1) - 1)]
        assert told.value == pytest.approx(exact, rel=0.01, abs=1)


def test_the_command_exits_with_1_where_the_second_is_worse(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good, bad = keep(proven(3_000), tmp_path / "good"), keep(failing(3_000, loss=0.9), tmp_path / "bad")
    assert main(["compare", str(bad), str(good)]) == 0
    assert main(["compare", str(good), str(bad)]) == 1
    assert "B is worse beyond noise: verdict, requests lost" in capsys.readouterr().out
    for how in ("markdown", "html", "json"):
        assert main(["compare", str(good), str(bad), "--format", how, "-o", str(tmp_path / how)]) == 1
        assert "worse" in (tmp_path / how).read_text()


def test_the_page_is_accessible_and_hostile_names_are_text(tmp_path: Path) -> None:
    told = compared(proven(4_000), failing(4_000))
    file = tmp_path / "compare.html"
    file.write_text(page(told, "<script>alert(1)</script>", "b\u202e"))
    assert "\\<script\\>" in markdown(told, "<script>", "b")
    with chromium() as browser, opened(browser, file, ready=False, width=380) as shown:
        assert "<script>alert(1)" in shown.locator("thead").inner_text()
        assert shown.evaluate("document.documentElement.scrollWidth") <= 380
        shown.emulate_media(color_scheme="dark")
        assert not [v for v in Axe().run(shown).response["violations"] if v["impact"] in {"serious", "critical"}]


def again(run: Run, seed: int) -> Run:
    """The same thing run once more: other luck in who is lost (by termination) and in how fast answers are (by second).

    A termination loses a share of its first second that is drawn anew, as a lag is: most lose little, some lose all.
    """
    dice = random.Random(seed)
    recording = Recording()
    for name, value in vars(run.recording).items():
        setattr(recording, name, value)
    deletions = sorted(each.at for each in run.observations if each.what is Milestone.DELETION_REQUESTED)
    gone = [(at, at + round(dice.choice((0.05, 0.1, 0.95, 1.05)) * SECOND), dice.uniform(0.2, 0.6)) for at in deletions]
    kind = recording.failure_index(Failure(Stage.CONNECT, Kind.REFUSED, 111))
    weather = [dice.lognormvariate(0, 0.1) for _ in range(200)]
    failure, finished = array("H"), array("q")
    for start in recording.intended_start:
        lost = any(begin <= start < end and dice.random() < share for begin, end, share in gone)
        failure.append(kind if lost else 0)
        took = dice.lognormvariate(0, 0.5) * weather[(start - run.load_started) // SECOND] * 6 * MILLISECOND
        finished.append(start + round(took))
    recording.failure, recording.finished = failure, finished
    recording.failed = sum(map(bool, failure))
    return replace(run, recording=recording)


def test_of_a_hundred_pairs_of_the_same_thing_few_are_called_worse() -> None:
    base = proven(1_000)
    runs = [(run, examine(run)) for run in (again(base, seed) for seed in range(101))]
    told = [compare(one, other) for one, other in pairwise(runs)]
    wrong = [each.sentence for each in told if each.worse]
    assert any(each.rows[2].first != each.rows[2].second for each in told)
    assert len(wrong) <= 10, wrong


def test_what_is_twice_as_bad_is_called_worse() -> None:
    base = proven(3_000, rollouts=4)
    for seed in range(5):
        one, other = again(base, 100 + seed), again(base, 200 + seed)
        assert "p50" in compared(one, slower(other, 2 * MILLISECOND)).sentence
    assert compared(replace(proven(3_000), complete=False), failing(3_000, loss=1.0)).worse


@given(st.lists(st.floats(0, 10), min_size=1, max_size=6), st.lists(st.floats(0, 10), min_size=1, max_size=6))
def test_a_permutation_gives_a_probability_and_total_separation_the_smallest_one(
    a: list[float], b: list[float]
) -> None:
    p = permuted(a, b)
    assert 0 < p <= 1
    higher = [max(a) + 1 + each for each in b]
    assert permuted(a, higher) == pytest.approx(1 / math.comb(len(a) + len(b), len(b)))


def test_a_permutation_of_many_clusters_is_drawn_and_agrees_with_the_exact_one() -> None:
    a, b = [float(n % 7) for n in range(9)], [float(n % 7) + 1 for n in range(9)]
    exact = permuted(a[:7], b[:7])
    assert abs(permuted(a, b) - exact) < 0.1
    assert permuted(a, b) == permuted(a, b)
