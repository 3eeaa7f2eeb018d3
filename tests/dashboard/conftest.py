"""The dashboard as a process, and a headless Chromium that looks at it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.cli.conftest import process

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
SLOW_MS = 90_000


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One Chromium for a module's tests: while it runs, no test of another kind may use asyncio."""
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed")
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture
def look(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Open a page in a browser of its own; a mistake in its JavaScript fails the test."""
    mistakes: list[str] = []
    contexts: list[Any] = []

    def opened(url: str, **options: Any) -> Page:
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(SLOW_MS)
        page.on("pageerror", lambda error: mistakes.append(str(error)))
        page.on("dialog", lambda dialog: mistakes.append(dialog.message))
        page.goto(url)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert mistakes == []


@contextmanager
def dashboard(url: str, *words: str, clean: bool = True) -> Iterator[str]:
    """The command in a process of its own; yields the page's URL. ``clean``: it says nothing."""
    command = ("dashboard", "--port", "0", "--interval", "0.2", "--url", url, *words)
    with process(*command) as running:
        assert running.stdout is not None
        try:
            found = running.stdout.readline().strip()
            assert found, running.communicate()[1]
            yield found
        finally:
            running.terminate()
            said = running.communicate(timeout=60)[1]
        assert running.returncode == 0, said
        assert not (clean and said), said


def head(page: Page, text: str) -> None:
    """Wait until the page's head says something."""
    page.locator(f"section.whole >> text={text}").first.wait_for()


__all__ = ["dashboard", "head"]
