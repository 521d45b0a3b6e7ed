"""Labelling by similarity and near-duplicates, on real photos that a real worker looks at after the upload."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator

import pytest
from PIL import Image
from real_browser import BROWSER_MARKS, playwright
from running_studio import RunningStudio, running_studio
from studio_page import photos, signed_in, snap, upload

pytestmark = [*BROWSER_MARKS, pytest.mark.alone]
expect = playwright.expect
READ_WITHIN_MS = 240_000


@pytest.fixture(scope="module")
def reading_studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStudio]:
    home = tmp_path_factory.mktemp("similar") / "home"
    with running_studio(home, ONSIGHT_STUDIO_JOB_WORKERS="1", ONSIGHT_STUDIO_INDEX_IMAGES="true") as studio:
        yield studio
        studio.stop()


def with_a_copy(archive: bytes) -> bytes:
    """And the first photo once more, half as large."""
    made = io.BytesIO(archive)
    with zipfile.ZipFile(made, "a") as out:
        first = sorted(name for name in out.namelist() if name.startswith("glass/"))[0]
        small = io.BytesIO()
        picture = Image.open(io.BytesIO(out.read(first)))
        picture.resize((picture.width // 2, picture.height // 2)).save(small, "JPEG")
        out.writestr("glass/copy.jpg", small.getvalue())
    return made.getvalue()


def test_a_few_labels_are_enough_to_find_the_rest_and_what_is_there_twice(
    browser: playwright.Browser, reading_studio: RunningStudio
) -> None:
    studio = reading_studio
    project = studio.call("POST", "/studio/v1/projects", {"name": "Alike"})["id"]
    path = f"/studio/v1/projects/{project}"
    upload(studio, project, with_a_copy(photos("trashnet_256", 6, ("glass", "paper"))))
    labels = {label["name"]: label["id"] for label in studio.call("GET", f"{path}/labels")["labels"]}
    glass = studio.call("GET", f"{path}/images?label={labels['glass']}")["images"]
    body = {"selection": {"images": [image["id"] for image in glass[2:]]}, "remove": [labels["glass"]]}
    studio.call("POST", f"{path}/labelling", body)
    with signed_in(browser, studio, f"/p/{project}/similar") as page:
        candidates = page.get_by_role("list", name="Candidates").get_by_role("listitem")
        expect(candidates).to_have_count(len(glass) - 2, timeout=READ_WITHIN_MS)
        snap(page, "similar-lane")
        first, second = (candidates.nth(place).get_attribute("aria-label") for place in (0, 1))
        page.keyboard.press("a")
        expect(candidates).to_have_count(len(glass) - 3)
        page.keyboard.press("x")
        expect(candidates).to_have_count(len(glass) - 4)
        by_name = {image["name"]: image["labels"] for image in studio.call("GET", f"{path}/images")["images"]}
        assert (by_name[first], by_name[second]) == ([labels["glass"]], [])
        page.keyboard.press("u")
        expect(page.get_by_role("listitem", name=str(first))).to_be_visible()
        expect(page.get_by_role("listitem", name=str(second))).not_to_be_visible()
        page.get_by_role("tab", name="Near-duplicates").click()
        group = page.get_by_role("region", name="Group of glass/")
        expect(group.get_by_role("listitem")).to_have_count(2)
        snap(page, "similar-duplicates")
        group.get_by_role("button", name="Keep the first, remove the others").click()
        page.get_by_role("dialog").get_by_role("button", name="Remove them").click()
        expect(page.get_by_text("Nothing is there twice")).to_be_visible()
    names = {image["name"] for image in studio.call("GET", f"{path}/images")["images"]}
    assert "glass/copy.jpg" not in names
    assert len(names) == len(glass) - 1 + 6
