"""Reports of real runs: one that lost requests, one that was proven, one that died by kill -9 half-way."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page
from tests.proving.brisk import proved, zoo
from tests.report.browser import chromium, opened

from lameduck.cli import main
from lameduck.core.exchange import Lane
from lameduck.core.proof import Proof, Verdict

pytestmark = [pytest.mark.rollout, pytest.mark.timeout(120)]

LIT = "() => picture.shown()"
SIZES = [(1280, False), (1280, True), (768, True), (360, False)]
WITH_AXE = [(1280, True), (360, False)]
"""Seconds each: the stories of test_html.py are looked at in light colours."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pages, pictures of the screen and the PDF: kept as files of the test run ($LAMEDUCK_SCREENS: kept there)."""
    kept = os.environ.get("LAMEDUCK_SCREENS")
    if kept:
        Path(kept).mkdir(parents=True, exist_ok=True)
    return Path(kept) if kept else tmp_path_factory.mktemp("real")


@pytest.fixture(scope="module")
def lost(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Proof]:
    home = tmp_path_factory.mktemp("lost")
    return home / "run", proved(home, *zoo("exits"))


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Proof]:
    home = tmp_path_factory.mktemp("clean")
    return home / "run", proved(home, *zoo("lame"), traffic={"lanes": ((Lane.NEW, 1.0),)})


@pytest.fixture(scope="module")
def browser(lost: object, clean: object) -> Iterator[Browser]:
    """After the proofs: its synchronous interface keeps an event loop running, and they have their own."""
    with chromium() as found:
        yield found


def rendered(run: Path, file: Path) -> Path:
    assert main(["report", str(run), "-o", str(file)]) == 0
    assert file.stat().st_size <= 5_000_000
    return file


def looked_at(browser: Browser, page_file: Path, folder: Path, name: str) -> None:
    """In every size and colour: nothing overflows, the first paint comes soon, axe finds nothing."""
    paints = []
    for width, dark in SIZES:
        with opened(browser, page_file, width=width, dark=dark) as page:
            page.screenshot(path=folder / f"{name}-{width}-{'dark' if dark else 'light'}.png", full_page=True)
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            paints.append(page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime"))
            if (width, dark) not in WITH_AXE:
                continue
            page.evaluate("for (const each of document.querySelectorAll('details')) each.open = true")
            found = Axe().run(page)
            assert not found.response["violations"], found.generate_report()
    assert min(paints) <= 1_500  # the quickest: what else runs on this machine is not the page's


def test_a_run_that_lost_requests(browser: Browser, lost: tuple[Path, Proof], folder: Path) -> None:
    run, proof = lost
    assert proof.verdict is Verdict.FAILED
    file = rendered(run, folder / "lost.html")
    looked_at(browser, file, folder, "lost")
    with opened(browser, file) as page:
        assert proof.sentence.partition(" (")[0] in page.locator("h1").inner_text()
        for number, finding in enumerate(proof.findings):
            button = page.locator(f"button[data-finding='{number}']")
            button.focus()
            page.keyboard.press("Enter")
            drawn = page.evaluate("(n) => run.failures.finding.filter((each) => each === n).length", number)
            assert drawn in {0, finding.count}  # a finding may be of pods that lost nothing
            assert len(page.evaluate(LIT)) == drawn
            page.keyboard.press("Escape")
            assert page.evaluate(LIT) == []
        pods = {name for each in proof.findings for span in each.locations for name in getattr(span, "pods", ())}
        assert all(name in page.locator("body").inner_text() or name in page.content() for name in pods)
        stepped_through(page)
        assert page.pdf(path=folder / "lost.pdf", format="A4").startswith(b"%PDF")


def stepped_through(page: Page) -> None:
    """From the keyboard alone: the picture, each lost request, zoom, back."""
    page.locator("#picture").focus()
    seen = []
    for _ in range(3):
        page.keyboard.press("n")
        seen += page.evaluate(LIT)
        assert "Request" in page.locator("#detail h3").inner_text()
    assert len(set(seen)) == 3
    page.keyboard.press("+")
    page.keyboard.press("0")
    page.keyboard.press("Escape")
    assert page.evaluate(LIT) == []


def test_a_run_that_was_proven(browser: Browser, clean: tuple[Path, Proof], folder: Path) -> None:
    run, proof = clean
    assert proof.failed == 0, proof.sentence
    file = rendered(run, folder / "clean.html")
    looked_at(browser, file, folder, "clean")
    with opened(browser, file) as page:
        assert proof.sentence in page.locator("h1").inner_text()
        assert page.locator(".badge").inner_text() == proof.verdict.value
        assert page.evaluate("run.pods.length") >= 4


def test_a_run_that_died_by_kill_9_half_way_says_so_in_every_format(
    browser: Browser, tmp_path: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    command = [sys.executable, "-m", "lameduck", "prove", "--local", "--replicas", "2", "--qps", "100", "--quiet"]
    child = subprocess.Popen([*command, "--run-dir", str(run), "--", *zoo("exits")], stdout=subprocess.DEVNULL)
    try:
        wait_for(run / "run.db", "SELECT count(*) FROM failed")
        child.send_signal(signal.SIGKILL)
    finally:
        child.kill()
        child.wait()
    told = "the recorder died before the end"
    assert main(["report", str(run)]) == 0
    terminal = " ".join(capsys.readouterr().out.split())
    assert told in terminal
    for name in ("json", "junit", "markdown"):
        assert main(["report", str(run), "--format", name]) == 0
        assert told in capsys.readouterr().out
    assert main(["report", str(run), "--format", "json"]) == 0
    proof = json.loads(capsys.readouterr().out)
    assert proof["verdict"] != "PROVEN"
    assert proof["requests"] > 100
    file = rendered(run, folder / "died.html")
    with opened(browser, file) as page:
        page.screenshot(path=folder / "died.png", full_page=True)
        assert told in page.locator(".warn").first.inner_text()
        assert page.evaluate("run.bands[0][2]") is None  # the rollout was not seen to end
        assert page.locator("#lost-rows tr").count() >= 1
        assert page.evaluate("run.pods.length") >= 2


def wait_for(file: Path, question: str) -> None:
    """Until a run file answers with more than nothing."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if file.exists():
            try:
                with sqlite3.connect(f"file:{file}?mode=ro", uri=True) as database:
                    if database.execute(question).fetchone()[0]:
                        return
            except sqlite3.Error:
                pass
        time.sleep(0.1)
    pytest.fail("the run never lost a request")
