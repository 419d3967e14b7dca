"""The HTML report in a real browser: offline, without an error, by mouse and by keyboard, in any size and colour."""

from array import array
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page
from tests.report.browser import chromium, opened
from tests.report.stories import ORIGIN, failing, proven

from lameduck.cli.plotting import plotting_library
from lameduck.core.exchange import Lane
from lameduck.core.foreign import Foreign
from lameduck.core.instants import SECOND
from lameduck.core.recording import LANES
from lameduck.core.run import Run
from lameduck.defects.judge import examine
from lameduck.report.html import page as render
from lameduck.report.picture import picture

HOSTILE = "<img src=x onerror=alert(1)></script><script>alert(2)</script>\u202e\x1b[31m'\"&{{"


FIRST_MARK = """() => {
  const view = Bokeh.index.roots[0].child_views[1], { x, y } = picture.sources[0].data;
  const box = view.el.getBoundingClientRect(), { x_scale, y_scale } = view.frame;
  return [box.x + x_scale.compute(x[0]), box.y + y_scale.compute(y[0])];
}"""
"""Where the first failure's mark is on the screen."""


def written(run: Run, file: Path, **pieces: object) -> Path:
    judged = examine(run)
    proof = replace(judged.proof, **pieces) if pieces else judged.proof
    file.write_text(render(run, proof, picture(run, judged), plotting_library()), encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pages, and the screenshots that are kept as files of the test run."""
    return tmp_path_factory.mktemp("html")


@pytest.fixture(scope="module")
def failed(folder: Path) -> Path:
    return written(failing(), folder / "failed.html")


@pytest.fixture(scope="module")
def fine(folder: Path) -> Path:
    return written(proven(), folder / "proven.html")


def lit(page: Page) -> list[int]:
    """The failures that are lit in the picture, by their number in the page."""
    found: list[int] = page.evaluate("picture.shown()")
    return found


@pytest.mark.parametrize(
    ("which", "width", "dark"),
    [("failed", 1280, False), ("failed", 380, True), ("fine", 1280, True), ("fine", 380, False)],
)
def test_it_opens_offline_without_an_error_and_nothing_overflows(
    browser: Browser, folder: Path, which: str, width: int, dark: bool, request: pytest.FixtureRequest
) -> None:
    with opened(browser, request.getfixturevalue(which), width=width, dark=dark) as page:
        page.screenshot(path=folder / f"{which}-{width}-{'dark' if dark else 'light'}.png", full_page=True)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate("document.querySelector('#picture').getBoundingClientRect().height") > 300
        assert page.locator("h1").inner_text().startswith(("69 of", "0 of"))


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_axe_finds_nothing_wrong(browser: Browser, failed: Path, dark: bool) -> None:
    with opened(browser, failed, dark=dark) as page:
        page.locator("#lost-rows button").first.click()
        page.evaluate("for (const each of document.querySelectorAll('details')) each.open = true")
        found = Axe().run(page)
        assert not found.response["violations"], found.generate_report()


def test_selecting_a_finding_lights_its_requests_and_its_pods(browser: Browser, failed: Path) -> None:
    judged = examine(failing())
    drawn = picture(failing(), judged)
    with opened(browser, failed) as page:
        for number, finding in enumerate(judged.proof.findings):
            page.locator(f"button[data-finding='{number}']").click()
            assert lit(page) == [n for n, each in enumerate(drawn.failures) if each.finding == number]
            assert len(lit(page)) == finding.count
            dimmed = page.evaluate("picture.sources.filter((s) => s.selected.indices.length === 0).length")
            assert dimmed == 0
            rows = page.evaluate(
                "[...new Set(picture.podSource.selected.indices.map((n) => picture.podSource.data.n[n]))]"
            )
            assert {drawn.pods[n].name for n in rows} == set(finding.locations[0].pods)  # type: ignore[union-attr]
            assert page.locator("#lost-where").inner_text().endswith(f"of {finding.count} of {finding.defect.code}")
        page.locator(f"button[data-finding='{len(judged.proof.findings) - 1}']").click()
        assert lit(page) == []


def test_selecting_a_request_shows_all_its_times_and_its_evidence(browser: Browser, failed: Path) -> None:
    drawn = picture(failing(), examine(failing()))
    wanted = next(n for n, each in enumerate(drawn.failures) if each.kind == "reset")
    with opened(browser, failed) as page:
        page.locator("#lost-rows").get_by_role("button", name=f"request {drawn.failures[wanted].seq}:").click()
        assert lit(page) == [wanted]
        told = page.locator("#detail").inner_text()
        for words in (
            "intended start",
            "connected",
            "after 90 µs",
            "errno 104",
            f"request {drawn.failures[wanted].nth_on_connection} on it",
            drawn.pods[drawn.failures[wanted].pods[0]].name,
        ):
            assert words in told
        assert drawn.failures[wanted].because in told


def test_a_mark_in_the_picture_can_be_clicked(browser: Browser, failed: Path) -> None:
    with opened(browser, failed) as page:
        page.evaluate("document.querySelector('#picture').scrollIntoView()")
        place = page.evaluate(FIRST_MARK)
        page.mouse.click(place[0], place[1])
        page.wait_for_selector("#detail h3")
        assert lit(page)
        assert "Request" in page.locator("#detail h3").inner_text()


def test_everything_is_reached_and_done_from_the_keyboard(browser: Browser, failed: Path) -> None:
    with opened(browser, failed) as page:
        whole = page.evaluate("picture.range.end - picture.range.start")
        page.locator("button[data-finding='0']").focus()
        page.keyboard.press("Enter")
        assert lit(page)
        page.keyboard.press("Escape")
        assert not lit(page)
        page.locator("#picture").focus()
        page.keyboard.press("n")
        first = lit(page)
        page.keyboard.press("n")
        assert (first, lit(page)) == ([0], [1])
        page.keyboard.press("p")
        assert lit(page) == [0]
        before = page.evaluate("picture.range.end - picture.range.start")
        page.keyboard.press("+")
        assert page.evaluate("picture.range.end - picture.range.start") == pytest.approx(before / 2)
        start = page.evaluate("picture.range.start")
        page.keyboard.press("ArrowRight")
        assert page.evaluate("picture.range.start") > start
        page.keyboard.press("0")
        assert page.evaluate("picture.range.end - picture.range.start") == pytest.approx(whole)


def test_the_theme_can_be_changed_and_keeps_selection_and_zoom(browser: Browser, failed: Path) -> None:
    with opened(browser, failed) as page:
        page.locator("#picture").focus()
        page.keyboard.press("+")
        page.keyboard.press("n")
        seen = lit(page), page.evaluate("picture.range.start")
        page.locator("#theme").click()
        page.wait_for_selector("html[data-theme=dark]")
        page.wait_for_selector("html[data-drawn='2']")
        assert (lit(page), page.evaluate("picture.range.start")) == seen


def test_it_prints_with_every_table_open(browser: Browser, failed: Path, folder: Path) -> None:
    with opened(browser, failed, dark=True) as page:
        data = page.pdf(path=folder / "failed.pdf", format="A4")
        assert data.startswith(b"%PDF")
        assert page.evaluate("[...document.querySelectorAll('details')].every((each) => each.open)")


def test_hostile_text_is_inert(browser: Browser, tmp_path: Path) -> None:
    run = failing(4_000, rollouts=1, prefix=HOSTILE)
    finding = replace(examine(run).proof.findings[0], message=HOSTILE, evidence=(HOSTILE, "y" * 1_000_000))
    file = written(
        replace(run, facts=replace(run.facts, name=HOSTILE), meta={"command": HOSTILE, "lameduck": HOSTILE}),
        tmp_path / "hostile.html",
        sentence=HOSTILE,
        notes=(HOSTILE,),
        findings=[finding],
    )
    assert file.stat().st_size < 5_000_000
    with opened(browser, file) as page:
        page.locator("#lost-rows button").first.click()
        page.locator("#picture").hover(position={"x": 400, "y": 250})
        assert page.locator("img").count() == 0
        assert "<img src=x" in page.locator("h1").inner_text()
        assert "\u202e" not in page.content()
        assert "\x1b" not in page.content()


def test_a_policy_stops_any_script_that_is_not_ours(browser: Browser, failed: Path, tmp_path: Path) -> None:
    broken = tmp_path / "injected.html"
    broken.write_text(failed.read_text().replace("<main>", "<main><script>window.injected = 1</script>"))
    with pytest.raises(AssertionError), opened(browser, broken) as page:
        assert page.evaluate("window.injected") is None


def test_without_javascript_the_verdict_the_fix_and_the_tables_are_there(browser: Browser, failed: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(failed.as_uri())
    text = page.locator("body").inner_text()
    assert "69 of 7,724 requests were lost" in text
    assert "wait 3 s before the stop signal" in text
    page.locator("summary", has_text="Pods").click()
    assert "endpoint not ready" in page.locator("body").inner_text()
    context.close()


def test_a_run_that_died_half_way_says_so_and_shows_what_there_is(browser: Browser, tmp_path: Path) -> None:
    run = failing()
    half = ORIGIN + 12 * SECOND
    seen = [each for each in run.observations if each.at < half]
    file = written(replace(run, observations=seen, load_ended=half, complete=False), tmp_path / "half.html")
    with opened(browser, file) as page:
        assert "the recorder died before the end" in page.locator(".warn").inner_text()
        assert page.evaluate("run.bands[0][2]") is None
        assert page.locator("#lost-rows tr").count() > 5


def test_a_run_of_nothing_at_all_still_opens(browser: Browser, tmp_path: Path) -> None:
    run = replace(failing(10, rollouts=0), observations=[], recording=type(failing(10).recording)())
    with opened(browser, written(run, tmp_path / "nothing.html")) as page:
        assert "INCONCLUSIVE" in page.locator(".badge").inner_text()
        assert page.locator(".verdict .gates .fell").count() >= 2  # what it lacks stands on the first screen


def test_an_imported_load_is_said_to_be_one_and_none_of_our_own_claims_are_made(browser: Browser, folder: Path) -> None:
    foreign = Foreign("jmeter", "x.jtl", command="jmeter -n", losses=("a closed loop",), rate=100.0)
    run = replace(failing(4_000), foreign=foreign)
    run.recording.lane = array("B", bytes([LANES.index(Lane.UNKNOWN)]) * len(run.recording))
    with opened(browser, written(run, folder / "imported.html")) as page:
        page.screenshot(path=folder / "imported.png", full_page=True)
        body = page.locator("body").inner_text()
        assert "not ours: jmeter" in body
        assert "jmeter's file: a closed loop" in body
        assert "no retries" not in body
        assert "start delay" not in body
        assert "answered, connections not told apart" in page.locator("#legend").inner_text()
        assert not Axe().run(page).response["violations"]


def test_twenty_thousand_failures_fit_into_five_megabytes_and_paint_at_once(browser: Browser, tmp_path: Path) -> None:
    run = failing(160_000, loss=1.0, rollouts=6)
    judged = examine(run)
    drawn = picture(run, judged, most=20_000)
    copies = replace(drawn, failures=(list(drawn.failures) * 4)[:20_000], failed=55_000)
    file = tmp_path / "many.html"
    file.write_text(render(run, judged.proof, copies, plotting_library()), encoding="utf-8")
    assert file.stat().st_size <= 5_000_000
    paints = []
    while len(paints) < 5 and min(paints, default=9_999) > 1_500:  # what else runs on this machine is not the page's
        with opened(browser, file) as page:
            assert page.locator(".warn").inner_text().startswith("20,000 of 55,000")
            paints.append(page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime"))
    assert min(paints) <= 1_500
