"""The page of images in a real browser: uploads, the grid, labelling by keys, filters, undo."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from real_browser import BROWSER_MARKS, playwright
from running_studio import RunningStudio
from studio_page import PHONE, photos, signed_in, snap, upload

pytestmark = BROWSER_MARKS
expect = playwright.expect
V1 = "/studio/v1/projects"
SOON_MS = 60_000  # an upload or a training beside it may hold a busy machine
FOCUSED_NAME = """() => {
  const one = document.activeElement;
  const by = (one.getAttribute("aria-labelledby") ?? "").split(" ").map((id) => document.getElementById(id));
  const texts = [...by, ...(one.labels ?? []), one].map((element) => element?.textContent ?? "");
  return [one.tagName, (one.getAttribute("aria-label") || texts.join(" ")).trim(), one.outerHTML.slice(0, 200)];
}"""


def picture(number: int) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (32, 24), (number * 37 % 256, number // 256, number % 256)).save(stream, "PNG")
    return stream.getvalue()


def zipped(files: Mapping[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return stream.getvalue()


def new_project(studio: RunningStudio, files: Mapping[str, bytes] | None = None) -> str:
    """Its id. files: images with their paths; the folder is the label."""
    project: str = studio.call("POST", V1, {"name": "Trash"})["id"]
    if files:
        upload(studio, project, zipped(files))
    return project


def labels_by_name(studio: RunningStudio, project: str) -> dict[str, list[str]]:
    names = {label["id"]: label["name"] for label in studio.call("GET", f"{V1}/{project}/labels")["labels"]}
    images = studio.call("GET", f"{V1}/{project}/images?limit=1000")["images"]
    return {image["name"]: [names[label] for label in image["labels"]] for image in images}


def choose(page: Any, button: str, files: Any) -> None:
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name=button, exact=True).click()
    chooser.value.set_files(files)


def test_a_zip_of_class_folders_is_uploaded_and_what_was_refused_is_told(
    browser: playwright.Browser, studio: RunningStudio
) -> None:
    project = new_project(studio)
    inside = zipfile.ZipFile(io.BytesIO(photos("trashnet_256", 8)))
    archive = zipped({name: inside.read(name) for name in inside.namelist()} | {"glass/broken.jpg": b"no image"})
    with signed_in(browser, studio, f"/p/{project}/images") as page:
        expect(page.get_by_text("Drop photos, folders or zips here")).to_be_visible()
        snap(page, "images-empty")
        choose(page, "Choose files", {"name": "trash.zip", "mimeType": "application/zip", "buffer": archive})
        asked = page.get_by_role("dialog", name="Upload 1 archive")
        expect(asked.get_by_role("switch", name="Labels from folder names")).to_be_checked()
        asked.get_by_role("combobox", name="Labels for all of them").fill("indoors, 2026")
        snap(page, "images-upload")
        asked.get_by_role("button", name="Upload").click()
        tray = page.get_by_role("region", name="Uploads")
        expect(tray.get_by_text("Uploaded, 1 file was refused")).to_be_visible(timeout=SOON_MS)
        expect(page.get_by_role("gridcell", name="cardboard/")).to_have_count(8)
        expect(page.get_by_role("listitem", name="glass").get_by_text("8", exact=True)).to_be_visible()
        tray.get_by_role("button", name="See what was refused").click()
        report = page.get_by_role("dialog", name="What became of the files")
        expect(report.get_by_role("listitem")).to_have_count(1)
        expect(report.get_by_role("listitem")).to_contain_text("glass/broken.jpg")
        expect(report.get_by_role("listitem")).to_contain_text("expected JPEG, PNG")
        snap(page, "images-report")
        with page.expect_download() as saved:
            report.get_by_role("button", name="Download as CSV").click()
        assert '"glass/broken.jpg","refused"' in Path(saved.value.path()).read_text()
    labels = labels_by_name(studio, project)
    assert len(labels) == 48
    assert all(set(own) == {"indoors", "2026", name.split("/")[0]} for name, own in labels.items())


def test_a_folder_is_sent_a_hundred_files_at_a_time_and_goes_on_after_the_connection_broke(
    browser: playwright.Browser, studio: RunningStudio, tmp_path: Path
) -> None:
    for number in range(230):
        file = tmp_path / "photos" / ("day", "night")[number % 2] / f"{number:03}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(picture(number))
    (tmp_path / "photos" / ".hidden.png").write_bytes(picture(1000))
    project = new_project(studio)
    sent: list[str] = []

    def second_one_breaks(route: playwright.Route) -> None:
        if route.request.method == "POST":
            sent.append(route.request.url)
        if route.request.method == "POST" and len(sent) == 2:
            route.abort("connectionreset")
        else:
            route.continue_()

    with signed_in(browser, studio, f"/p/{project}/images") as page:
        page.route("**/images?**", second_one_breaks)
        choose(page, "Choose a folder", tmp_path / "photos")
        asked = page.get_by_role("dialog", name="Upload 230 files")
        asked.get_by_role("switch", name="For the validation set").check()
        asked.get_by_role("button", name="Upload").click()
        page.get_by_role("link", name="Models").click()  # it goes on whatever page is open
        expect(page.get_by_text("Uploaded", exact=True)).to_be_visible(timeout=SOON_MS)
        expect(page.get_by_text("230 added")).to_be_visible()
    assert len(sent) == 4  # of a hundred files, and the one that broke again
    assert {tuple(own) for own in labels_by_name(studio, project).values()} == {("day",), ("night",)}
    assert studio.call("GET", f"{V1}/{project}/counts")["validation"] == 230


def test_files_that_are_there_already_are_not_sent_again(browser: playwright.Browser, studio: RunningStudio) -> None:
    project = new_project(studio)
    given = [{"name": f"{n}.png", "mimeType": "image/png", "buffer": picture(n)} for n in range(6)]
    with signed_in(browser, studio, f"/p/{project}/images") as page:
        sent: list[str] = []
        page.on("request", lambda one: sent.append(one.url) if one.method == "POST" and "/images?" in one.url else None)
        for some, told in (
            (given[:4], "4 added"),
            (given[:4], "4 already there"),
            (given, "2 added · 4 already there"),
        ):
            choose(page, "Upload" if sent else "Choose files", some)
            page.get_by_role("dialog").get_by_role("button", name="Upload").click()
            tray = page.get_by_role("region", name="Uploads")
            expect(tray.get_by_text(told, exact=True)).to_be_visible(timeout=SOON_MS)
            tray.get_by_role("button", name="Close").click()
        assert len(sent) == 2
    assert len(labels_by_name(studio, project)) == 6


@pytest.fixture(scope="module")
def many(studio: RunningStudio) -> str:
    """A project of 450 images, three pages of the grid: glass/000.png, paper/001.png, metal/002.png and so on."""
    files = {f"{('glass', 'paper', 'metal')[n % 3]}/{n:03}.png": picture(n) for n in range(450)}
    return new_project(studio, files)


def test_number_keys_label_a_range_and_undo_says_what_it_undid(
    browser: playwright.Browser, studio: RunningStudio, many: str
) -> None:
    before = labels_by_name(studio, many)
    with signed_in(browser, studio, f"/p/{many}/images") as page:
        page.get_by_role("gridcell", name="paper/001.png").click()
        page.get_by_role("gridcell", name="paper/010.png").click(modifiers=["Shift"])
        bar = page.get_by_role("toolbar", name="Selection")
        expect(bar.get_by_text("10 images")).to_be_visible()
        page.get_by_role("gridcell", name="metal/005.png").click(modifiers=["Control"])
        expect(bar.get_by_text("9 images")).to_be_visible()
        page.keyboard.press("3")
        expect(page.get_by_text("Put metal on 9 images")).to_be_visible()
        expect(page.get_by_role("gridcell", name="paper/001.png; paper, metal")).to_be_visible()
        expect(page.get_by_role("listitem", name="metal").get_by_text("157")).to_be_visible()
        snap(page, "images-selection")
        after = labels_by_name(studio, many)
        changed = {name for name in before if before[name] != after[name]}
        assert changed == {f"{before[name][0]}/{name[-7:]}" for name in before if 1 <= int(name[-7:-4]) <= 10} - {
            "metal/002.png", "metal/005.png", "metal/008.png",
        }  # fmt: skip
        page.keyboard.press("u")
        expect(page.get_by_text("Undone: put metal on 9 images")).to_be_visible()
        expect(page.get_by_role("gridcell", name="paper/001.png; paper", exact=True)).to_be_visible()
        expect(page.get_by_role("listitem", name="metal").get_by_text("150")).to_be_visible()
        assert labels_by_name(studio, many) == before
        page.keyboard.press("Escape")
        expect(bar).to_have_count(0)


def test_arrows_move_a_frame_that_keys_label_and_the_zoom_follows(
    browser: playwright.Browser, studio: RunningStudio, many: str
) -> None:
    with signed_in(browser, studio, f"/p/{many}/images") as page:
        grid = page.get_by_role("grid", name="Images")
        grid.focus()
        page.keyboard.press("End")
        expect(page.get_by_role("gridcell", name="metal/449.png")).to_be_visible()  # of the third page
        page.keyboard.press("ArrowLeft")
        page.keyboard.press("Enter")
        zoom = page.get_by_role("dialog", name="paper/448.png")
        expect(zoom.get_by_text("449 of 450")).to_be_visible()
        page.keyboard.press("1")
        expect(zoom.get_by_role("button", name="Make glass the default label")).to_be_visible()
        page.keyboard.press("Shift+1")
        expect(zoom.get_by_role("button", name="glass is the default label")).to_be_visible()
        page.keyboard.press("ArrowRight")
        expect(page.get_by_role("dialog", name="metal/449.png")).to_be_visible()
        page.keyboard.press("x")
        expect(page.get_by_text("unlabelled", exact=True)).to_be_visible()
        snap(page, "images-zoom")
        page.keyboard.press("Escape")
        expect(page.get_by_role("gridcell", name="paper/448.png; glass (default), paper")).to_be_visible()
        expect(page.get_by_role("gridcell", name="metal/449.png; unlabelled")).to_be_visible()
        for _ in range(3):
            page.keyboard.press("Control+z")
        expect(page.get_by_role("gridcell", name="metal/449.png; metal")).to_be_visible()
        expect(page.get_by_role("gridcell", name="paper/448.png; paper", exact=True)).to_be_visible()
        page.keyboard.press("?")
        expect(page.get_by_role("dialog", name="Keys")).to_be_visible()


def test_filters_are_in_the_address_and_all_of_a_filter_are_labelled_at_once(
    browser: playwright.Browser, studio: RunningStudio, many: str
) -> None:
    with signed_in(browser, studio, f"/p/{many}/images") as page:
        page.get_by_role("button", name="Show images with paper").click()
        expect(page.get_by_text("150 of 450 images")).to_be_visible()
        page.get_by_role("searchbox", name="Name of the image").fill("/1")
        expect(page.get_by_text("34 of 450 images")).to_be_visible()
        page.reload()
        expect(page.get_by_text("34 of 450 images")).to_be_visible()
        filters = page.get_by_role("group", name="Filters")
        expect(filters.get_by_text("name has “/1”")).to_be_visible()
        page.keyboard.press("Control+a")
        expect(page.get_by_role("toolbar", name="Selection").get_by_text("34 images")).to_be_visible()
        page.get_by_role("button", name="Put glass on the selection").click()
        expect(page.get_by_text("Put glass on 34 images")).to_be_visible()
        page.get_by_role("button", name="Take paper off the selection").click()
        expect(page.get_by_text("No image fits these filters")).to_be_visible()
        page.keyboard.press("u")
        expect(page.get_by_text("34 of 450 images")).to_be_visible()
        page.keyboard.press("u")
        filters.get_by_role("button", name="No filter: paper").click()
        expect(page.get_by_text("100 of 450 images")).to_be_visible()
        page.go_back()
        expect(page.get_by_text("34 of 450 images")).to_be_visible()
        filters.get_by_role("button", name="Show all").click()
        expect(page.get_by_text("450 images", exact=True)).to_be_visible()
    assert all(own == [name.split("/")[0]] for name, own in labels_by_name(studio, many).items())


def test_labels_are_added_found_renamed_merged_and_removed(browser: playwright.Browser, studio: RunningStudio) -> None:
    project = new_project(studio, {f"glass/{n}.png": picture(n) for n in range(4)})
    with signed_in(browser, studio, f"/p/{project}/images") as page:
        find = page.get_by_role("textbox", name="Find or add a label")
        expect(page.get_by_role("gridcell")).to_have_count(4)
        page.keyboard.press("/")
        page.keyboard.type("jar")
        page.keyboard.press("Enter")
        expect(page.get_by_role("listitem", name="jar")).to_be_visible()
        expect(find).to_have_value("")
        page.get_by_role("gridcell", name="glass/1.png").click()
        page.keyboard.press("2")
        expect(page.get_by_role("listitem", name="jar").get_by_text("1", exact=True)).to_be_visible()
        page.get_by_role("button", name="More for jar").click()
        page.get_by_role("menuitem", name="Rename").click()
        page.get_by_role("textbox", name="Name", exact=True).fill("bottle")
        page.get_by_role("button", name="Save").click()
        expect(page.get_by_role("gridcell", name="glass/1.png; glass, bottle")).to_be_visible()
        page.get_by_role("button", name="Make bottle the default of all images that have it").click()
        expect(page.get_by_role("gridcell", name="glass/1.png; glass, bottle (default)")).to_be_visible()
        page.get_by_role("button", name="More for glass").click()
        page.get_by_role("menuitem", name="Merge into another").click()
        page.get_by_role("combobox", name="Into").click()
        page.get_by_role("option", name="bottle").click()
        page.get_by_role("button", name="Merge").click()
        expect(page.get_by_role("listitem", name="bottle").get_by_text("4", exact=True)).to_be_visible()
        expect(page.get_by_role("listitem", name="glass")).to_have_count(0)
        page.get_by_text("Merged glass into bottle").locator("..").get_by_role("button", name="Undo").click()
        expect(page.get_by_role("gridcell", name="glass/0.png; glass")).to_be_visible()
        page.get_by_role("button", name="More for glass").click()
        page.get_by_role("menuitem", name="Remove the label").click()
        page.get_by_role("dialog").get_by_role("button", name="Remove").click()
        expect(page.get_by_role("gridcell", name="glass/0.png; unlabelled")).to_be_visible()


def test_images_are_removed_after_a_question(browser: playwright.Browser, studio: RunningStudio) -> None:
    project = new_project(studio, {f"glass/{n}.png": picture(n) for n in range(6)})
    with signed_in(browser, studio, f"/p/{project}/images") as page:
        page.get_by_role("gridcell", name="glass/1.png").click()
        page.get_by_role("gridcell", name="glass/2.png").click(modifiers=["Control"])
        page.keyboard.press("Delete")
        asked = page.get_by_role("dialog", name="Remove 2 images?")
        expect(asked.get_by_text("This cannot be undone.")).to_be_visible()
        asked.get_by_role("button", name="Remove").click()
        expect(page.get_by_role("gridcell")).to_have_count(4)
        expect(page.get_by_role("gridcell", name="glass/2.png")).to_have_count(0)
    assert sorted(labels_by_name(studio, project)) == [f"glass/{n}.png" for n in (0, 3, 4, 5)]


def test_a_label_file_labels_and_tells_of_names_that_are_not_there(
    browser: playwright.Browser, studio: RunningStudio
) -> None:
    project = new_project(studio, {"glass/1.png": picture(1), "glass/2.png": picture(2)})
    with signed_in(browser, studio, f"/p/{project}/images") as page:
        page.get_by_role("button", name="Label files").click()
        page.get_by_role("menuitem", name="Label by a file").click()
        asked = page.get_by_role("dialog", name="Label by a file")
        text = b"image,labels\nglass/1.png,green\nnowhere.png,green\n"
        with page.expect_file_chooser() as chooser:
            asked.get_by_role("button", name="File").click()
        chooser.value.set_files({"name": "labels.csv", "mimeType": "text/csv", "buffer": text})
        asked.get_by_role("button", name="Label", exact=True).click()
        expect(asked.get_by_text("1 image changed")).to_be_visible()
        expect(asked.get_by_role("listitem")).to_have_text(["nowhere.png"])
        asked.get_by_role("button", name="Close").last.click()
        expect(page.get_by_role("gridcell", name="glass/1.png; glass, green")).to_be_visible()


def test_everything_that_tab_reaches_has_a_name(browser: playwright.Browser, studio: RunningStudio, many: str) -> None:
    with signed_in(browser, studio, f"/p/{many}/images") as page:
        page.get_by_role("gridcell", name="paper/001.png").click()
        expect(page.get_by_role("toolbar", name="Selection")).to_be_visible()
        names: list[str] = []
        while names.count("BODY") < 2:  # from the grid to the end, and once more from the beginning
            page.keyboard.press("Tab")
            tag, name, html = page.evaluate(FOCUSED_NAME)
            assert name, html
            names.append("BODY" if tag == "BODY" else name)
            assert len(names) < 200
        for expected in (
            "Images", "Find or add a label", "Put glass on the selection", "Take glass off the selection", "Undo",
            "Make glass the default of all images that have it", "More for glass", "Order", "Name of the image",
            "Upload", "Label files", "Unselect", "Find similar images", "More for the selection",
        ):  # fmt: skip
            assert expected in names, expected


def test_on_a_phone_a_tap_selects_and_labels_are_in_a_drawer(
    browser: playwright.Browser, studio: RunningStudio, many: str
) -> None:
    options = {"viewport": PHONE, "has_touch": True, "is_mobile": True}
    with signed_in(browser, studio, f"/p/{many}/images", **options) as page:
        page.get_by_role("gridcell", name="glass/000.png").tap()
        page.get_by_role("gridcell", name="metal/002.png").tap()
        bar = page.get_by_role("toolbar", name="Selection")
        expect(bar.get_by_text("2 images")).to_be_visible()
        bar.get_by_role("button", name="Put a label on the selection").tap()
        page.get_by_role("option", name="paper").tap()
        expect(page.get_by_role("gridcell", name="metal/002.png; paper, metal")).to_be_visible()
        snap(page, "images-phone")
        page.get_by_role("button", name="Undo").first.tap()
        expect(page.get_by_role("gridcell", name="metal/002.png; metal")).to_be_visible()
        page.get_by_role("button", name="Unselect").tap()
        page.get_by_role("button", name="Labels").tap()
        page.get_by_role("button", name="Show images with metal").tap()
        page.get_by_role("dialog").get_by_role("button", name="Close").first.tap()
        expect(page.get_by_text("150 of 450 images")).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
