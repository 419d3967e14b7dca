"""Debian's Chromium under Playwright, offline: what a person sees of a page."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)


def executable() -> str:
    """Where the browser is; without one, a test is skipped, and in CI it fails."""
    found = os.environ.get("LAMEDUCK_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        missing = "no Chromium found: apt-get install chromium, or say LAMEDUCK_CHROMIUM=/path/to/it"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    return str(found)


@contextmanager
def chromium() -> Iterator[Browser]:
    """A headless browser."""
    path = executable()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def opened(
    browser: Browser, file: Path, *, width: int = 1280, dark: bool = False, ready: bool = True
) -> Iterator[Page]:
    """A page from disk with the network off; whatever it asks of the network or complains about fails the test."""
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme="dark" if dark else "light", offline=True
    )
    context.set_default_timeout(60_000)  # a machine with other work may be slow
    page = context.new_page()
    wrong: list[str] = []
    page.on("console", lambda told: wrong.append(told.text) if told.type in {"error", "warning"} else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("request", lambda asked: None if asked.url.startswith(("file:", "data:")) else wrong.append(asked.url))
    page.on("dialog", lambda dialog: wrong.append(f"dialog: {dialog.message}"))
    try:
        page.goto(file.as_uri())
        if ready:
            page.wait_for_selector("html[data-ready=yes]", timeout=60_000)
        yield page
        assert not wrong
    finally:
        context.close()
