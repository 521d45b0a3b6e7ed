"""Debian's chromium through Playwright, and pages that must ask nobody but the server they came from."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip

playwright = pytest.importorskip("playwright.sync_api")
BROWSER_MARKS = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(not CHROMIUM.exists(), reason="needs Debian's chromium at /usr/bin/chromium"),
]


@contextmanager
def chromium() -> Iterator[playwright.Browser]:
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
        yield browser
        browser.close()


@contextmanager
def watched_page(browser: playwright.Browser, url: str, origin: str, **options: Any) -> Iterator[playwright.Page]:
    """The page at an address. Fails at the end for errors in scripts, whatever they or the browser complain of, refused
    styles, and requests to elsewhere. An answer that says no, or does not come, is none of that.

    options: of the browser's context, like viewport and color_scheme.
    """
    context = browser.new_context(**options)
    page = context.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda line: problems.append(line.text) if _is_complaint(line.type, line.text) else None)
    own = (origin, "blob:")
    page.on("request", lambda request: None if request.url.startswith(own) else problems.append(request.url))
    page.goto(url)
    yield page
    context.close()
    assert problems == []


def _is_complaint(kind: str, text: str) -> bool:
    refused = "Content Security Policy" in text
    return refused or (kind == "error" and not text.startswith("Failed to load resource"))


def image(name: str, data: bytes) -> playwright.FilePayload:
    return {"name": name, "mimeType": "image/png", "buffer": data}
