"""The frame around the studio's pages, in a real browser against a real studio."""

from __future__ import annotations

from real_browser import BROWSER_MARKS, playwright, watched_page
from running_studio import RunningStudio
from studio_page import PHONE, photos, signed_in, snap, upload

pytestmark = BROWSER_MARKS
expect = playwright.expect


def test_who_is_not_signed_in_is_asked_to_at_any_address(browser: playwright.Browser, studio: RunningStudio) -> None:
    with watched_page(browser, f"{studio.url}/profile", studio.url) as page:
        expect(page.get_by_role("button", name="Sign in")).to_be_visible()
        assert page.evaluate("document.cookie") == ""


def test_a_project_has_its_sections_and_the_browser_goes_back(
    browser: playwright.Browser, studio: RunningStudio
) -> None:
    project = studio.call("POST", "/studio/v1/projects", {"name": "Trash"})["id"]
    upload(studio, project, photos("trashnet_256", 3))
    with signed_in(browser, studio, f"/p/{project}") as page:
        expect(page).to_have_url(f"{studio.url}/p/{project}/images")
        page.get_by_role("link", name="Train").click()
        expect(page).to_have_url(f"{studio.url}/p/{project}/train")
        page.go_back()
        expect(page).to_have_url(f"{studio.url}/p/{project}/images")
        snap(page, "frame")
    with signed_in(browser, studio, f"/p/{project}/train", viewport=PHONE) as page:
        page.get_by_role("button", name="Sections").click()
        page.get_by_role("link", name="Models").click()
        expect(page).to_have_url(f"{studio.url}/p/{project}/models")


def test_a_project_that_is_not_there_is_told(browser: playwright.Browser, studio: RunningStudio) -> None:
    with signed_in(browser, studio, "/p/nosuchproject/images") as page:
        expect(page.get_by_text("There is no such project")).to_be_visible()
