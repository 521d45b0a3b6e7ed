"""The page at `/`, driven in a real browser against a real server."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from color_bundle import BLUE, GREY, RED
from real_browser import BROWSER_MARKS, chromium, image, playwright, watched_page
from running_server import Served

pytestmark = BROWSER_MARKS


@pytest.fixture(scope="module")
def browser() -> Iterator[playwright.Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def page(browser: playwright.Browser, served: Served) -> Iterator[playwright.Page]:
    with watched_page(browser, served.server.url, served.server.url) as page:
        yield page


def enter_token(page: playwright.Page, token: str) -> None:
    page.get_by_role("button", name="Enter token").click()
    page.get_by_label("Token", exact=True).fill(token)
    page.keyboard.press("Enter")


def test_an_image_is_answered_with_label_scores_and_thresholds(page: playwright.Page, served: Served) -> None:
    enter_token(page, served.token)
    page.get_by_label("Choose images").set_input_files([image("red.png", RED)])
    playwright.expect(page.locator(".verdict b")).to_have_text("red")
    assert page.locator(".score .name").all_inner_texts()[0] == "red"
    assert page.locator(".score").count() == page.locator(".tick").count() == 3
    playwright.expect(page.locator(".times")).to_contain_text("Round trip")


def test_several_images_keep_their_answers_and_failures(page: playwright.Page, served: Served) -> None:
    enter_token(page, served.token)
    files = [image("a.png", BLUE), image("b.png", GREY), image("c.png", b"not an image at all")]
    page.get_by_label("Choose images").set_input_files(files)
    playwright.expect(page.locator(".frame b")).to_have_text(["blue", "Unknown", "Error"])
    page.locator(".frame").nth(1).click()
    playwright.expect(page.locator(".badge")).to_have_text("Unknown")
    page.locator(".frame").nth(2).click()
    playwright.expect(page.get_by_role("alert")).to_contain_text("IMAGE_UNSUPPORTED")


def test_a_wrong_token_is_asked_for_again_and_the_right_one_is_kept_in_the_tab(
    page: playwright.Page, served: Served
) -> None:
    enter_token(page, "onsight_wrong")
    playwright.expect(page.locator("#token-error")).to_contain_text("not one of this server")
    page.get_by_label("Token", exact=True).fill(served.token)
    page.keyboard.press("Enter")
    playwright.expect(page.get_by_label("Model", exact=True)).to_be_visible()
    page.reload()
    playwright.expect(page.get_by_label("Model", exact=True)).to_be_visible()


def test_the_snippet_names_this_server_and_the_chosen_model(page: playwright.Page, served: Served) -> None:
    enter_token(page, served.token)
    page.get_by_label("Model", exact=True).select_option("shop/goods")
    playwright.expect(page.locator("#snippet-code")).to_contain_text(f"{served.server.url}/api/predict/shop/goods")
    page.get_by_role("tab", name="Full answer").click()
    playwright.expect(page.locator("#snippet-code")).to_contain_text("/v1/predict/shop/goods")


def test_the_python_program_on_the_page_runs(page: playwright.Page, served: Served, tmp_path: Path) -> None:
    enter_token(page, served.token)
    page.get_by_label("Model", exact=True).select_option("shop/goods")
    page.get_by_role("tab", name="Python").click()
    (tmp_path / "photo.jpg").write_bytes(BLUE)
    result = subprocess.run(
        [sys.executable, "-c", page.locator("#snippet-code").inner_text()],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "ONSIGHT_TOKEN": served.token},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert result.stdout.strip() == "('blue',)", result.stderr


def test_bundles_that_were_refused_are_shown_with_their_reason(page: playwright.Page, served: Served) -> None:
    enter_token(page, served.token)
    playwright.expect(page.locator("#notices")).to_contain_text("2 bundles were refused")
    playwright.expect(page.locator("#notices")).to_contain_text("stranger.onsight")


def test_a_model_list_that_still_loads_is_asked_for_again(page: playwright.Page, served: Served) -> None:
    loading = {"status": "loading", "models": [], "standby": [], "failed": []}
    page.route("**/v1/models", lambda route: route.fulfill(json=loading), times=1)
    enter_token(page, served.token)
    playwright.expect(page.get_by_label("Model", exact=True)).to_be_visible()
    playwright.expect(page.locator("#notices")).not_to_contain_text("No model is served yet")


def test_a_visitor_who_needs_a_token_after_all_is_asked_once_and_nothing_is_sent_on_and_on(
    page: playwright.Page, served: Served
) -> None:
    enter_token(page, served.token)
    page.route(
        f"{served.server.url}/",
        lambda route: route.fulfill(body=route.fetch().text().replace('anonymous="false"', 'anonymous="true"')),
    )
    page.reload()
    playwright.expect(page.get_by_label("Model", exact=True)).to_be_visible()
    page.evaluate("sessionStorage.clear()")  # the token is gone, and the server does not let this visitor in without
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "/v1/predict" in request.url else None)
    page.get_by_label("Choose images").set_input_files([image("red.png", RED)])
    playwright.expect(page.get_by_role("button", name="Enter token")).to_be_visible()
    page.wait_for_timeout(300)
    assert len(asked) == 1


def test_the_page_leads_to_all_calls(page: playwright.Page) -> None:
    page.get_by_role("link", name="All calls, with examples").click()
    playwright.expect(page.get_by_role("heading", level=1)).to_have_text("Call it from your program")
    page.get_by_role("link", name="Try images").click()
    playwright.expect(page.get_by_role("heading", level=1)).to_have_text("What does your model see?")
