"""The page to train, in a real browser: what a training would do, what it does, what it did."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from queued_training import ONE_WORKER, TINY, WITHIN_S, add_shapes, end
from real_browser import BROWSER_MARKS, playwright
from running_studio import RunningStudio
from studio_page import PHONE, signed_in, snap

pytestmark = BROWSER_MARKS
expect = playwright.expect
WITHIN_MS = WITHIN_S * 1000


@pytest.fixture
def working(studio: RunningStudio, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStudio]:
    """It has a worker. studio: whose pages it shows."""
    new = RunningStudio(tmp_path_factory.mktemp("working") / "home", {**studio.environment, **ONE_WORKER})
    new.start()
    new.set_up()
    yield new
    end(new)


def test_the_form_tells_what_a_training_would_do_and_warns(browser: playwright.Browser, studio: RunningStudio) -> None:
    project = add_shapes(studio)
    with signed_in(browser, studio, f"/p/{project}/train") as page:
        told = page.get_by_role("region", name="What this training would do")
        expect(told).to_contain_text("24 images take part")
        expect(told).to_contain_text("19 to learn from")
        expect(told).to_contain_text("3 labels with fewer than 15 images")
        page.get_by_role("checkbox", name="blue").uncheck()
        expect(told).to_contain_text("16 images take part, 8 left out")
        page.get_by_role("button", name="Advanced").click()
        page.get_by_role("slider", name="Test images").press("ArrowRight")
        expect(told).to_contain_text("1 for the final figures")
        page.get_by_label("Epochs, at most").fill("7")
        expect(told).to_contain_text("7 epochs")
        snap(page, "train-form")
        page.get_by_role("checkbox", name="red").uncheck()
        expect(told).to_contain_text("at least two of them")
        expect(page.get_by_role("button", name="Train", exact=True)).to_be_disabled()
        assert studio.call("GET", f"/studio/v1/projects/{project}/jobs")["jobs"] == []


def test_one_model_a_label_waits_in_the_queue_and_can_be_taken_out(
    browser: playwright.Browser, studio: RunningStudio
) -> None:
    project = add_shapes(studio)
    with signed_in(browser, studio, f"/p/{project}/train") as page:
        page.get_by_role("radio", name="Yes or no").click()
        page.get_by_role("checkbox", name="green").uncheck()
        page.get_by_role("textbox", name="Name").fill("Bins")
        page.get_by_role("button", name="Train 2 models").click()
        queue = page.get_by_role("region", name="Queue")
        expect(queue.get_by_role("listitem")).to_have_text([re.compile("Bins: red"), re.compile("Bins: blue")])
        expect(queue.get_by_role("listitem").last).to_contain_text("starts in")
        snap(page, "train-queue")
        queue.get_by_role("button", name="Cancel Bins: red").click()
        expect(queue.get_by_role("listitem")).to_have_text([re.compile("Bins: blue")])
        expect(page.get_by_role("listitem", name="Bins: red")).to_contain_text("Stopped")
        (one,) = studio.call("GET", f"/studio/v1/projects/{project}/jobs?state=queued")["jobs"]
        assert one["training"]["labels"] == ["blue"]
        assert one["training"]["unlabelled_as_negative"]
        assert one["image_count"] == 24


def test_a_training_is_watched_until_it_has_a_model_and_then_deleted(
    browser: playwright.Browser, working: RunningStudio
) -> None:
    project = add_shapes(working)
    path = f"/studio/v1/projects/{project}"
    working.call("POST", f"{path}/trainings", {"name": "Colours", "training": {**TINY, "epochs": 40}})
    with signed_in(browser, working, f"/p/{project}/train") as page:
        card = page.get_by_role("article", name="Colours")
        expect(card.get_by_role("figure").first).to_contain_text("Loss", timeout=WITHIN_MS)
        snap(page, "train-running")
        former = page.get_by_role("listitem", name="Colours")
        expect(former).to_contain_text("Done", timeout=WITHIN_MS)
        expect(card).to_have_count(0)
        expect(former.get_by_role("link", name="Open the model")).to_have_attribute(
            "href", re.compile(rf"/p/{project}/models/\w+$")
        )
        former.get_by_role("button", name="More about").click()
        page.get_by_role("menuitem", name="Log").click()
        expect(page.get_by_label("Log", exact=True)).to_contain_text("Done after")
        page.keyboard.press("Escape")
        former.get_by_role("button", name="More about").click()
        page.get_by_role("menuitem", name="Train again").click()
        expect(page.get_by_role("textbox", name="Name")).to_have_value("Colours")
        image = working.call("GET", f"{path}/images?limit=1")["images"][0]["id"]
        labels = {each["name"]: each["id"] for each in working.call("GET", f"{path}/labels")["labels"]}
        change = {"selection": {"images": [image]}, "add": [labels["green"]]}
        working.call("POST", f"{path}/labelling", change)
        former.get_by_role("button", name="More about").click()
        page.get_by_role("menuitem", name="What changed").click()
        drawer = page.get_by_role("dialog")
        expect(drawer.get_by_text("1 relabelled")).to_be_visible()
        expect(drawer.get_by_role("list")).to_contain_text("green (put on)")
        snap(page, "train-changes")
        page.keyboard.press("Escape")
        former.get_by_role("link", name="Open the model").click()
        expect(page.get_by_role("button", name="24 images; since then 1 relabelled")).to_be_visible()
        page.go_back()
        former.get_by_role("button", name="More about").click()
        page.get_by_role("menuitem", name="Delete").click()
        page.get_by_role("button", name="Delete", exact=True).click()
        expect(former).to_have_count(0)
        assert working.call("GET", f"{path}/jobs")["jobs"] == []


def test_a_training_is_stopped_with_its_best_model_and_goes_on_later(
    browser: playwright.Browser, working: RunningStudio
) -> None:
    project = add_shapes(working)
    path = f"/studio/v1/projects/{project}"
    long = {**TINY, "epochs": 100_000}
    working.call("POST", f"{path}/trainings", {"name": "Long", "training": long})
    with signed_in(browser, working, f"/p/{project}/train", viewport=PHONE) as page:
        card = page.get_by_role("article", name="Long")
        expect(card.get_by_role("figure").first).to_be_visible(timeout=WITHIN_MS)
        snap(page, "train-running-phone")
        card.get_by_role("button", name="Stop").click()
        page.get_by_role("button", name="Stop it").click()
        former = page.get_by_role("listitem", name="Long")
        expect(former).to_contain_text("Stopped", timeout=WITHIN_MS)
        before = working.call("GET", f"{path}/jobs")["jobs"][0]["progress"]["epoch"]
        former.get_by_role("button", name="More about").click()
        page.get_by_role("menuitem", name="Go on").click()
        expect(card).to_be_visible()
        expect(former).to_have_count(0)
        expect(card.get_by_role("status")).to_contain_text("epoch", timeout=WITHIN_MS)
        assert working.call("GET", f"{path}/jobs")["jobs"][0]["progress"]["epoch"] >= before
