"""The studio's pages in Debian's chromium, against a real `onsight studio` in a home of its own.

A test takes `studio` (running, with an admin and a token of theirs) and opens pages with `studio_page.signed_in`; at
the end of each, no request went elsewhere, no script failed and no style was refused. `make web` builds the pages.
`ONSIGHT_STUDIO_PAGES_FOLDER` names another build, `ONSIGHT_SCREENSHOTS` a folder for what `snap` takes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from real_browser import chromium, playwright
from running_studio import PAGES, RunningStudio, running_studio


@pytest.fixture(scope="module")  # no longer: while it runs, no other event loop can, neither a browser's nor a client's
def browser() -> Iterator[playwright.Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="session")
def studio_settings() -> dict[str, str]:
    """Of every studio here."""
    return {name: os.environ[name] for name in (PAGES,) if name in os.environ}


@pytest.fixture(scope="module")
def studio(studio_settings: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStudio]:
    with running_studio(tmp_path_factory.mktemp("studio") / "home", **studio_settings) as studio:
        first = studio.ask("GET", "/", headers={"Accept": "text/html"})
        assert b'id="root"' in first.body, "the pages are not built: make web"
        yield studio
