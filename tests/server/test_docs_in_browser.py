"""The page of all calls at `/docs`, driven in a real browser against a real server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from color_bundle import GREEN, RED
from real_browser import BROWSER_MARKS, chromium, image, playwright, watched_page
from running_server import Served

from server.tokens import Scope

pytestmark = BROWSER_MARKS

PREDICT, TENSORS = "#v1_predict", "#v2_infer_infer"


@pytest.fixture(scope="module")
def browser() -> Iterator[playwright.Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def page(browser: playwright.Browser, served: Served) -> Iterator[playwright.Page]:
    with watched_page(browser, f"{served.server.url}/docs", served.server.url) as page:
        yield page


def give_token(page: playwright.Page, token: str) -> None:
    page.get_by_label("Token", exact=True).fill(token)
    page.keyboard.press("Enter")


def test_every_call_of_the_document_has_a_section_and_a_link_to_it(page: playwright.Page, served: Served) -> None:
    paths = served.server.ask("GET", "/openapi.json").json["paths"]
    shown = {text.replace("​", "").strip() for text in page.locator(".path").all_inner_texts()}
    assert shown == set(paths)
    for link in page.locator(".contents li a").all():
        assert page.locator(str(link.get_attribute("href"))).count() == 1
    assert page.locator(".contents li a").count() == page.locator("article.call").count() >= 25


def test_programs_are_about_this_server_and_a_chosen_language_stays(page: playwright.Page, served: Served) -> None:
    program = page.locator(f"{PREDICT} [role=tabpanel] pre:visible")
    playwright.expect(program).to_contain_text(f"{served.server.url}/v1/predict/default/trash")
    page.locator(PREDICT).get_by_role("tab", name="Python").click()
    playwright.expect(program).to_contain_text("urllib.request")
    playwright.expect(page.locator("#admin_load [role=tabpanel] pre:visible")).to_contain_text("urllib.request")
    page.reload()
    playwright.expect(program).to_contain_text("urllib.request")
    page.locator(PREDICT).get_by_role("tab", name="Python").press("ArrowRight")
    playwright.expect(program).to_contain_text("await fetch")
    playwright.expect(page.locator(PREDICT).get_by_role("tab", name="JavaScript")).to_be_focused()
    page.locator(TENSORS).get_by_role("tab", name="tritonclient").click()
    playwright.expect(page.locator(f"{TENSORS} [role=tabpanel] pre:visible")).to_contain_text(
        served.server.url.removeprefix("http://")
    )
    playwright.expect(program).to_contain_text("await fetch")  # there is none of that library here


def test_an_image_is_sent_with_the_visitors_token(page: playwright.Page, served: Served) -> None:
    call = page.locator(PREDICT)
    call.get_by_text("Try it").click()
    call.get_by_label("image").set_input_files([image("red.png", RED)])
    call.get_by_role("button", name="Send").click()
    give_token(page, served.token)  # asked for at the first call that needs one
    playwright.expect(call.get_by_label("name")).to_have_value("colours")  # a model that is there
    call.get_by_label("top").fill("1")
    call.get_by_role("button", name="Send").click()
    playwright.expect(call.get_by_role("status")).to_contain_text("200 OK")
    playwright.expect(call.get_by_role("status")).to_contain_text('"red"')
    call.get_by_label("image").set_input_files([image("x.png", b"no image")])
    call.get_by_role("button", name="Send").click()
    playwright.expect(call.get_by_role("status")).to_contain_text("IMAGE_UNSUPPORTED")
    call.get_by_label("name").fill("a/../b")
    call.get_by_label("image").set_input_files([image("green.png", GREEN)])
    call.get_by_role("button", name="Send").click()
    playwright.expect(call.get_by_role("status")).to_contain_text("ADDRESS_INVALID")


def test_a_token_of_another_scope_is_told_so(page: playwright.Page, served: Served) -> None:
    page.get_by_role("button", name="Token").click()
    give_token(page, served.tokens[Scope.METRICS])
    for call, text in (("#v1_list_models", "SCOPE_MISSING"), ("#metrics_exposition", "# TYPE onsight_")):
        page.locator(call).get_by_text("Try it").click()
        page.locator(call).get_by_role("button", name="Send").click()
        playwright.expect(page.locator(call).get_by_role("status")).to_contain_text(text)


def test_calls_that_change_something_cannot_be_tried_by_a_click(page: playwright.Page) -> None:
    for call in ("#admin_load", "#admin_unload", "#admin_load_v2", "#admin_unload_v2"):
        assert page.locator(f"{call} form").count() == 0
        assert page.locator(f"{call} .programs").count() == 1


def test_the_page_works_with_the_keyboard_alone(page: playwright.Page) -> None:
    page.keyboard.press("Tab")
    playwright.expect(page.get_by_text("Skip to the calls")).to_be_focused()
    page.keyboard.press("Enter")
    playwright.expect(page.locator("#calls")).to_be_focused()
    page.locator(f"{PREDICT} .try summary").focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    playwright.expect(page.locator(f"{PREDICT} input").first).to_be_focused()
    for fold in page.locator(f"{PREDICT} .fold summary").all():
        fold.press("Enter")
    playwright.expect(page.locator(f"{PREDICT} .errors")).to_contain_text("IMAGE_CORRUPT")


@pytest.mark.parametrize("width", [360, 390, 768, 1100])
def test_nothing_is_wider_than_the_screen(browser: playwright.Browser, served: Served, width: int) -> None:
    url = served.server.url
    with watched_page(browser, f"{url}/docs", url, viewport={"width": width, "height": 800}) as page:
        page.evaluate("for (const one of document.querySelectorAll('article details')) one.open = true")
        for said in ("Ready", "Connecting", "Loading models"):  # whatever the server is doing
            page.locator("#status > span").first.evaluate("(one, said) => { one.textContent = said }", said)
            assert page.evaluate("document.documentElement.scrollWidth") == width, said
        contents = page.locator("#contents")
        if width > 1000:
            playwright.expect(contents.get_by_text("Begin here")).to_be_visible()
            return
        playwright.expect(contents.get_by_text("Begin here")).to_be_hidden()
        contents.get_by_text("All calls", exact=True).click()
        contents.get_by_role("link", name="One model").click()
        playwright.expect(contents.get_by_text("Begin here")).to_be_hidden()
        playwright.expect(page.locator("#v1_describe_model h3")).to_be_in_viewport()


CONTRAST = """(selector) => {
  const numbers = (text) => (text.match(/[\\d.]+/g) || []).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((one) => one / 255)
    .map((one) => one <= 0.04045 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4)
    .reduce((sum, one, place) => sum + one * [0.2126, 0.7152, 0.0722][place], 0);
  const element = document.querySelector(selector);
  let behind = element;
  while (numbers(getComputedStyle(behind).backgroundColor)[3] === 0) behind = behind.parentElement;
  const both = [getComputedStyle(element).color, getComputedStyle(behind).backgroundColor].map(numbers).map(light);
  return (Math.max(...both) + 0.05) / (Math.min(...both) + 0.05);
}"""
TEXTS = (
    "h1", ".intro-text p", ".contents li a", ".contents h2 a", ".method.get", ".method.post", ".call .scope",
    ".told > p", ".rows dt code", ".kind", ".rows dd", ".status-line b", ".fold summary", ".shown pre", ".example span",
    ".try label", ".tabs [aria-selected=true]", ".tabs [aria-selected=false]", "footer span",
)  # fmt: skip


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_is_readable_by_light_and_in_the_dark(
    browser: playwright.Browser, served: Served, scheme: Any
) -> None:
    url = served.server.url
    with watched_page(browser, f"{url}/docs", url, color_scheme=scheme) as page:
        contrasts = {selector: round(page.evaluate(CONTRAST, selector), 2) for selector in TEXTS}
    assert {selector: contrast for selector, contrast in contrasts.items() if contrast < 4.5} == {}


def test_without_scripts_the_page_still_says_everything(browser: playwright.Browser, served: Served) -> None:
    url = served.server.url
    with watched_page(browser, f"{url}/docs", url, java_script_enabled=False) as page:
        playwright.expect(page.locator(f"{PREDICT} [role=tabpanel] pre:visible")).to_contain_text("curl")
        playwright.expect(page.locator(PREDICT)).to_contain_text("application/octet-stream")
        assert page.locator(".contents li a").first.is_visible()
