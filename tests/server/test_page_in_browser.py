"""The page at `/`, driven in a real browser against a real server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from color_bundle import BLUE, GREY, RED
from running_server import Served

CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip

playwright = pytest.importorskip("playwright.sync_api")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(not CHROMIUM.exists(), reason="needs Debian's chromium at /usr/bin/chromium"),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[playwright.Browser]:
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: playwright.Browser, served: Served) -> Iterator[playwright.Page]:
    context = browser.new_context()
    page = context.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda line: problems.append(line.text) if "Content Security Policy" in line.text else None)
    own = (served.server.url, "blob:")
    page.on("request", lambda request: None if request.url.startswith(own) else problems.append(request.url))
    page.goto(served.server.url)
    yield page
    context.close()
    assert problems == []


def enter_token(page: playwright.Page, token: str) -> None:
    page.get_by_role("button", name="Enter token").click()
    page.get_by_label("Token", exact=True).fill(token)
    page.keyboard.press("Enter")


def image(name: str, data: bytes) -> playwright.FilePayload:
    return {"name": name, "mimeType": "image/png", "buffer": data}


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
