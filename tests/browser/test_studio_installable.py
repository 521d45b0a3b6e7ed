"""The studio as an installed app: its manifest and icons, what the browser keeps of it, and how a new version comes."""

from __future__ import annotations

import io
import json
import re
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from real_browser import BROWSER_MARKS, playwright, watched_page
from running_studio import RunningStudio, running_studio
from studio_page import pages_folder, photos, signed_in, upload

pytestmark = BROWSER_MARKS
expect = playwright.expect
WITHIN_S = 120
KEPT = """async () => {
  const kept = {};
  for (const name of await caches.keys()) {
    kept[name] = (await (await caches.open(name)).keys()).map((request) => new URL(request.url).pathname);
  }
  return kept;
}"""
READY = "async () => { await navigator.serviceWorker.ready; }"


@pytest.fixture
def own_pages(tmp_path: Path) -> Path:
    """A copy of the build, which a test may change."""
    return Path(shutil.copytree(pages_folder(), tmp_path / "pages"))


@pytest.fixture
def own_studio(own_pages: Path, tmp_path: Path) -> Iterator[RunningStudio]:
    with running_studio(tmp_path / "home", ONSIGHT_STUDIO_PAGES_FOLDER=str(own_pages)) as studio:
        yield studio


def kept_by(page: playwright.Page) -> dict[str, list[str]]:
    """Cache -> the addresses whose answers are in it, once the browser has all that it is to keep."""
    page.evaluate(READY)
    kept: dict[str, list[str]] = page.evaluate(KEPT)
    return kept


def until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WITHIN_S
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_the_manifest_and_every_icon_are_as_it_says(browser: playwright.Browser, studio: RunningStudio) -> None:
    with watched_page(browser, studio.url, studio.url) as page:
        found = page.context.new_cdp_session(page).send("Page.getAppManifest")
        assert found["url"] == f"{studio.url}/manifest.webmanifest"
        assert found["errors"] == []
        manifest: dict[str, Any] = json.loads(found["data"])
        assert {icon.get("purpose", "any") for icon in manifest["icons"]} == {"any", "maskable"}
        for icon in manifest["icons"]:
            answer = studio.ask("GET", icon["src"])
            assert answer.headers.get_content_type() == icon["type"]
            if icon["type"] == "image/png":
                width, height = Image.open(io.BytesIO(answer.body)).size
                assert icon["sizes"] == f"{width}x{height}"
        for link in page.locator("link[rel*=icon]").all():
            assert studio.ask("GET", link.get_attribute("href") or "").status == 200


def test_the_browser_keeps_the_app_alone_and_opens_it_while_the_studio_is_away(
    browser: playwright.Browser, own_studio: RunningStudio
) -> None:
    project = own_studio.call("POST", "/studio/v1/projects", {"name": "Trash"})["id"]
    upload(own_studio, project, photos("trashnet_256", 2))
    with signed_in(browser, own_studio, "/", service_workers="allow") as page:
        kept_by(page)
        page.reload()
        expect(page.locator("main img").first).to_be_visible()
        assert page.evaluate("navigator.serviceWorker.controller !== null")
        (names,) = kept_by(page).values()
        assert "/" in names
        assert {name for name in names if not re.fullmatch(r"/|/assets/[\w.-]+\.(js|css)", name)} == set()
        own_studio.kill()
        page.reload()
        expect(page.get_by_role("alert")).to_be_visible()
        own_studio.start()
        page.reload()
        expect(page.locator("main img").first).to_be_visible()


def test_a_new_version_is_opened_at_once_and_the_old_one_serves_the_pages_that_are_open(
    browser: playwright.Browser, own_studio: RunningStudio, own_pages: Path
) -> None:
    with signed_in(browser, own_studio, "/", service_workers="allow") as page:
        (old,) = kept_by(page)
        page.reload()
        expect(page.get_by_role("button", name="Account")).to_be_visible()
        _make_new_version(own_pages)
        own_studio.kill()
        own_studio.start()
        page.get_by_role("button", name="Account").click()
        page.get_by_role("menuitem", name="Profile and tokens").click()  # a chunk that only the old version had
        expect(page.get_by_role("heading", name="Profile")).to_be_visible()
        late = page.context.new_page()
        late.goto(own_studio.url)
        expect(late.get_by_role("button", name="Account")).to_be_visible()
        assert late.locator("meta[name=version]").get_attribute("content") == "new"
        late.evaluate("async () => { await (await navigator.serviceWorker.ready).update(); }")
        until(lambda: late.evaluate("async () => (await navigator.serviceWorker.ready).waiting?.state") == "installed")
        assert old in late.evaluate(KEPT)
        page.goto("about:blank")
        late.goto("about:blank")
        last = page.context.new_page()
        last.goto(own_studio.url)
        until(lambda: old not in last.evaluate(KEPT))
        ((new, names),) = kept_by(last).items()
        assert new != old
        assert all(own_studio.ask("GET", name).status == 200 for name in names)


def _make_new_version(pages: Path) -> None:
    """The same app with every chunk under another name, as after a change in what all of them use."""
    texts = [*pages.glob("assets/*.js"), *pages.glob("assets/*.css"), pages / "index.html", pages / "sw.js"]
    names = [path.name for path in (pages / "assets").iterdir()]
    for path in texts:
        text = path.read_text()
        for name in names:
            text = text.replace(name, f"new-{name}")
        path.write_text(text.replace('const KEPT = "onsight-', 'const KEPT = "onsight-new-'))
    for name in names:
        (pages / "assets" / name).rename(pages / "assets" / f"new-{name}")
    index = pages / "index.html"
    index.write_text(index.read_text().replace("<title>", '<meta name="version" content="new" /><title>'))
