"""The pages Predict and Download in a real browser, against a real studio with a model that was really trained."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest
from real_browser import BROWSER_MARKS, image, playwright
from running_studio import RunningStudio
from studio_page import PHONE, signed_in, snap
from tiny_runs import TinyRun
from trained_models import shape_file, shelf_in

from bundle.home import OnsightHome
from bundle.keys import SigningKey
from bundle.trust import TrustStore
from studio.jobs.queue import find_job
from studio.predict.thresholds import save_thresholds

pytestmark = BROWSER_MARKS
expect = playwright.expect
COLOURS = ("red", "green", "blue")
PAINTED = """(canvas) => {
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  return data.some((value) => value > 0);
}"""
LABELS = {"red": "red, dark", "green": "grün", "blue": "blue"}


@dataclass(frozen=True)
class There:
    """A project with a training and its export; and one without a model."""

    studio: RunningStudio
    project: str
    training: str
    empty: str


@pytest.fixture(scope="module")
def there(studio: RunningStudio, single_run: TinyRun, single_bundle: Path, maker_key: SigningKey) -> There:
    TrustStore(OnsightHome(studio.home).trust_dir).add(maker_key.public_key, "maker")
    project = studio.call("POST", "/studio/v1/projects", {"name": "Colours"})["id"]
    for name in LABELS.values():
        studio.call("POST", f"/studio/v1/projects/{project}/labels", {"name": name})
    with shelf_in(studio, project) as shelf:
        training = shelf.add_trained(single_run, "Colours")
        shelf.prepare(training, single_bundle)
        shelf.add_exported(training, single_bundle, "shapes")
    return There(studio, project, training, studio.call("POST", "/studio/v1/projects", {"name": "Empty"})["id"])


def answers_of(there: There, files: dict[str, bytes]) -> dict[str, dict[str, object]]:
    """What the studio says of these, by the API."""
    found = {}
    for name, data in files.items():
        headers = {"X-Auth-token": there.studio.token, "Content-Type": "application/octet-stream"}
        path = f"/studio/v1/projects/{there.project}/models/{there.training}/predict"
        (found[name],) = there.studio.ask("POST", path, data, headers).json["results"]
    return found


def test_photos_are_predicted_and_thresholds_tried_out(
    browser: playwright.Browser, there: There, tmp_path: Path
) -> None:
    files = {f"{colour}.png": shape_file(colour, 50 + place) for place, colour in enumerate(COLOURS)}
    answers = answers_of(there, files)
    with signed_in(browser, there.studio, f"/p/{there.project}/predict") as page:
        with page.expect_file_chooser() as chooser:
            page.get_by_role("button", name="Choose photos").click()
        chooser.value.set_files(
            [image(name, data) for name, data in files.items()] + [image("broken.png", b"no image")]
        )
        expect(page.get_by_text("4 photos")).to_be_visible()
        for name, answer in answers.items():
            card = page.get_by_role("article", name=name)
            claim = "Unknown" if answer["unknown"] else answer["labels"][0]  # type: ignore[index]
            expect(card.locator(".mantine-Badge-label")).to_have_text(claim)
            first = answer["scores"][0]  # type: ignore[index]
            expect(card.get_by_role("listitem").first).to_contain_text(f"{first['probability'] * 100:.1f} %")
        broken = page.get_by_role("article", name="broken.png")
        expect(broken.get_by_role("alert")).to_contain_text("expected JPEG, PNG")
        snap(page, "predict")

        page.get_by_role("slider", name="Threshold of All labels").press("End")
        for name, answer in answers.items():
            words = "Unknown" if answer["unknown"] else "No label"
            expect(page.get_by_role("article", name=name).locator(".mantine-Badge-label")).to_have_text(words)
        page.get_by_role("button", name="Results").click()
        with page.expect_download() as saved:
            page.get_by_role("menuitem", name="Zip").click()
        with zipfile.ZipFile(saved.value.path()) as made:  # as one sees it: nothing is claimed of any
            assert {name.partition("/")[0] for name in made.namelist()} <= {"_none", "_unknown", "results.csv"}
            assert len(made.namelist()) == 4
        page.get_by_role("button", name="As saved").click()
        page.get_by_role("button", name="Take red.png away").click()
        expect(page.get_by_role("article")).to_have_count(3)
        page.get_by_text("Table", exact=True).click()
        expect(page.get_by_role("table", name="Predictions").get_by_role("row")).to_have_count(4)


def test_a_heatmap_lies_on_the_photo(browser: playwright.Browser, there: There) -> None:
    with signed_in(browser, there.studio, f"/p/{there.project}/predict") as page:
        with page.expect_file_chooser() as chooser:
            page.get_by_role("button", name="Choose photos").click()
        chooser.value.set_files(image("red.png", shape_file("red", 3)))
        card = page.get_by_role("article", name="red.png")
        card.get_by_role("button", name="Heatmap").click()
        map_ = card.get_by_role("img", name="Where the evidence for")
        expect(map_).to_be_visible(timeout=60_000)
        assert map_.evaluate(PAINTED)
        photo, over = card.get_by_role("img", name="red.png").bounding_box(), map_.bounding_box()
        assert photo is not None
        assert over is not None
        assert all(abs(photo[side] - over[side]) < 2 for side in ("x", "y", "width", "height"))
        snap(page, "heatmap")


def test_saved_thresholds_hold_on_the_page(browser: playwright.Browser, there: There) -> None:
    with shelf_in(there.studio, there.project) as shelf, shelf.database.writing() as connection:
        row = find_job(connection, shelf.project_id, there.training)
        save_thresholds(connection, row.id, "best", (0.25, 0.5, 0.75), None, row.created_at)
    try:
        with signed_in(browser, there.studio, f"/p/{there.project}/predict") as page:
            for label, value in (("blue", "0.25"), ("grün", "0.5"), ("red, dark", "0.75")):
                slider = page.get_by_role("slider", name=f"Threshold of {label}")
                expect(slider).to_have_attribute("aria-valuenow", value)
    finally:
        with shelf_in(there.studio, there.project) as shelf, shelf.database.writing() as connection:
            save_thresholds(connection, row.id, "best", None, None, row.created_at)


def test_the_program_that_the_page_shows_runs(browser: playwright.Browser, there: There, tmp_path: Path) -> None:
    photo = shape_file("green", 8)
    (tmp_path / "photo.jpg").write_bytes(photo)
    with signed_in(browser, there.studio, f"/p/{there.project}/predict") as page:
        page.get_by_role("tab", name="From a program").click()
        page.get_by_role("button", name="Make a token").click()
        expect(page.get_by_text("is shown this once")).to_be_visible()
        page.get_by_role("tab", name="Python").click()
        program = page.get_by_role("group", name="Python program").inner_text()
        snap(page, "programs")
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=120
    )
    answer = answers_of(there, {"photo": photo})["photo"]
    labels = [score["label"] for score in answer["scores"]]  # type: ignore[attr-defined]
    assert [line.rpartition(" ")[0] for line in done.stdout.splitlines()] == labels


def test_without_a_camera_the_page_says_what_to_do(browser: playwright.Browser, there: There) -> None:
    with signed_in(browser, there.studio, f"/p/{there.project}/predict", viewport=PHONE) as page:
        page.get_by_role("button", name="Camera").click()
        expect(page.get_by_role("alert")).to_contain_text("Choose photos instead")


def test_without_a_model_both_pages_lead_to_the_training(browser: playwright.Browser, there: There) -> None:
    for section in ("predict", "download"):
        with signed_in(browser, there.studio, f"/p/{there.empty}/{section}") as page:
            page.get_by_role("link", name="Train a model").click()
            expect(page).to_have_url(f"{there.studio.url}/p/{there.empty}/train")


def test_a_bundle_is_downloaded_with_its_digest_and_what_installs_it(
    browser: playwright.Browser, there: There, single_bundle: Path
) -> None:
    digest = hashlib.sha256(single_bundle.read_bytes()).hexdigest()
    with signed_in(browser, there.studio, f"/p/{there.project}/download") as page:
        expect(page.get_by_role("group", name="SHA-256")).to_have_text(digest)
        with page.expect_download() as saved:
            page.get_by_role("link", name="Download the bundle").click()
        assert hashlib.sha256(Path(saved.value.path()).read_bytes()).hexdigest() == digest
        assert saved.value.suggested_filename == "shapes-1.onsight"
        page.get_by_role("tab", name="Docker").click()
        expect(page.get_by_role("tabpanel", name="Docker")).to_contain_text("docker run -d --name onsight")
        snap(page, "download")

        page.get_by_label("int8, for CPUs").check()
        page.get_by_role("switch", name="For others, under a licence").check()
        page.get_by_role("button", name="Make bundle").click()
        card = page.get_by_role("article", name="colours 1")
        expect(card.get_by_text("licence required")).to_be_visible()
        card.get_by_role("button", name="Cancel").click()  # no worker runs here
        expect(card.get_by_text("Cancelled.")).to_be_visible()
    jobs = there.studio.call("GET", f"/studio/v1/projects/{there.project}/jobs?kind=export")["jobs"]
    wanted = json.loads(json.dumps(jobs[0]["export"]))
    assert (wanted["variants"], wanted["license_required"], wanted["model"]) == (["fp32", "int8"], True, "best")
