"""How good a model is, on its page: a click changes what one sees, and what one sees is what the studio answers."""

from __future__ import annotations

import re
from dataclasses import dataclass

import pytest
from real_browser import BROWSER_MARKS, playwright
from recorded_run import LABELS, make_run
from running_studio import RunningStudio
from sqlalchemy import insert, select
from studio_page import PHONE, signed_in, snap

from bundle.manifest import Task
from studio.context import utc_now
from studio.database.engine import Database
from studio.database.tables import jobs, projects
from studio.jobs.folder import JobFolder
from studio.jobs.inputs import TrainingInput

pytestmark = BROWSER_MARKS
expect = playwright.expect
IMAGES = 90


@dataclass(frozen=True)
class Measured:
    """A project with two measured models of each task. path: of its pages."""

    project: str
    models: dict[Task, list[str]]

    def path(self, task: Task, rest: str = "") -> str:
        return f"/p/{self.project}/models/{self.models[task][0]}{rest}"


@pytest.fixture(scope="module")
def measured(studio: RunningStudio) -> Measured:
    """Scores are recorded ones, of images that are really there and labelled as the single-label run says."""
    project = studio.call("POST", "/studio/v1/projects", {"name": "Pets"})["id"]
    path = f"/studio/v1/projects/{project}"
    images = sorted(upload_pictures(studio, project, IMAGES))
    for place, label in enumerate(LABELS):
        added = studio.call("POST", f"{path}/labels", {"name": label})["id"]
        studio.call("POST", f"{path}/labelling", {"selection": {"images": images[place::3]}, "add": [added]})
    database = Database(f"sqlite:///{studio.home / 'studio' / 'studio.sqlite3'}")
    models: dict[Task, list[str]] = {task: [] for task in Task}
    try:
        with database.writing() as connection:
            row = connection.execute(select(projects.c.id).where(projects.c.public_id == project)).one()
            for task in Task:
                for seed, name in enumerate(("First", "Second")):
                    values = {
                        "project_id": row.id, "kind": "training", "name": f"{name} {task.value}", "state": "done",
                        "input": TrainingInput().model_dump(mode="json"), "progress": {}, "created_at": utc_now(),
                        "finished_at": utc_now(),
                    }  # fmt: skip
                    job = connection.execute(insert(jobs).values(**values).returning(jobs.c.public_id)).scalar_one()
                    models[task].append(job)
                    run = JobFolder(studio.home / "studio" / "jobs", job).run
                    make_run(run.folder, task, seed=seed, names=[f"{image}.png" for image in images])
    finally:
        database.close()
    return Measured(project, models)


def upload_pictures(studio: RunningStudio, project: str, count: int) -> list[str]:
    import io
    import json
    import zipfile

    from PIL import Image

    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for number in range(count):
            stream = io.BytesIO()
            Image.new("RGB", (64, 48), (number * 37 % 256, 90, number * 2)).save(stream, "PNG")
            archive.writestr(f"{number}.png", stream.getvalue())
    headers = {"X-Auth-token": studio.token, "Content-Type": "application/zip"}
    answer = studio.ask("POST", f"/studio/v1/projects/{project}/images", packed.getvalue(), headers)
    return [file["image"] for file in json.loads(answer.body)["files"]]


def test_a_click_on_the_curve_sets_the_threshold_and_the_figures_follow(
    browser: playwright.Browser, studio: RunningStudio, measured: Measured
) -> None:
    with signed_in(browser, studio, measured.path(Task.MULTI_LABEL, "?tab=thresholds&split=test")) as page:
        page.get_by_role("button", name="Show the curve of dog").click()
        box = page.get_by_label("Threshold of dog")
        before = float(box.input_value())
        status = page.get_by_role("status").first
        told = status.inner_text()
        chart = page.get_by_role("img", name=re.compile("Precision-recall curve"))
        area = chart.bounding_box()
        assert area is not None
        path = f"/studio/v1{measured.path(Task.MULTI_LABEL).replace('/p/', '/projects/')}"
        curve = studio.call("GET", f"{path}/curve?choice=best&split=test&label=dog&points=1000")
        for part in (0.9, 0.4):  # of the plot, which is between 64 and 16 pixels from the edges
            page.mouse.click(area["x"] + 64 + (area["width"] - 80) * part, area["y"] + area["height"] * 0.5)
            wanted = min(zip(curve["recall"], curve["threshold"], strict=True), key=lambda at: abs(at[0] - part))[1]
            expect(box).to_have_value(f"{round(wanted, 3):g}")
        expect(box).not_to_have_value(f"{before:g}")
        expect(status).not_to_have_text(told)
        threshold = float(box.input_value())
        body = {"split": "test", "thresholds": None}
        facts = studio.call("GET", path)
        body["thresholds"] = [each if place != 1 else threshold for place, each in enumerate(facts["thresholds"])]
        dog = studio.call("POST", f"{path}/measure", body)["classes"][1]
        expect(status).to_contain_text(f"recall {dog['recall'] * 100:.1f} %")
        snap(page, "model-thresholds")
        page.get_by_role("button", name="Save thresholds").click()
        expect(page.get_by_text("Own thresholds", exact=True)).to_be_visible()
        saved = studio.call("GET", path)["thresholds"]
        assert abs(saved[1] - threshold) < 1e-3
        page.get_by_role("button", name="Back to the model's own").click()
        expect(page.get_by_text("Own thresholds", exact=True)).not_to_be_visible()
        assert studio.call("GET", path) == facts


def test_a_cell_of_the_confusion_matrix_shows_its_images(
    browser: playwright.Browser, studio: RunningStudio, measured: Measured
) -> None:
    with signed_in(browser, studio, measured.path(Task.SINGLE_LABEL, "?tab=confusion&split=test")) as page:
        cell = page.get_by_role("button", name=re.compile(r"^[1-9]\d* of \d+ images of dog answered =cat$"))
        count = int(cell.inner_text())
        snap(page, "model-confusion")
        cell.click()
        drawer = page.get_by_role("dialog")
        expect(drawer.get_by_role("listitem")).to_have_count(count)
        expect(drawer.get_by_role("listitem").first).to_have_attribute(
            "aria-label", re.compile("wrong; said =cat; true dog")
        )


def test_a_suspicion_is_mended_by_one_key_and_taken_back_by_another(
    browser: playwright.Browser, studio: RunningStudio, measured: Measured
) -> None:
    with signed_in(browser, studio, measured.path(Task.SINGLE_LABEL, "?tab=issues")) as page:
        status = page.get_by_role("status").first
        expect(status).to_contain_text(re.compile(r"^\d+ suspicions"))
        count = int(status.inner_text().split()[0])
        page.keyboard.press("a")
        expect(status).to_contain_text(f"{count - 1} suspicion")
        page.keyboard.press("u")
        expect(status).to_contain_text(f"{count} suspicions")
        page.keyboard.press("x")
        expect(status).to_contain_text(f"{count - 1} suspicion")


def test_every_part_of_the_page_shows_something_in_both_colours_and_on_a_phone(
    browser: playwright.Browser, studio: RunningStudio, measured: Measured
) -> None:
    with signed_in(browser, studio, f"/p/{measured.project}/models", color_scheme="dark") as page:
        expect(page.get_by_role("article")).to_have_count(4)
        page.get_by_role("link", name="First single_label").click()
        expect(page.get_by_role("group", name=re.compile("^Accuracy: "))).to_be_visible()
        expect(page.get_by_role("row")).to_have_count(1 + len(LABELS))
        snap(page, "model-statistics-dark")
        page.get_by_role("tab", name="Curves").click()
        expect(page.get_by_role("heading", name="Calibration")).to_be_visible()
        page.get_by_role("tab", name="Predictions").click()
        page.get_by_text("Wrong", exact=True).click()
        expect(page.get_by_role("list", name="Predictions").get_by_role("listitem").first).to_be_visible()
        page.get_by_role("tab", name="Compare").click()
        page.get_by_role("combobox", name="Compare with").click()
        page.get_by_role("option", name="Second single_label").click()
        expect(page.get_by_text("that both know")).to_be_visible()
    with signed_in(browser, studio, measured.path(Task.SINGLE_LABEL), viewport=PHONE) as page:
        expect(page.get_by_role("group", name=re.compile("^Accuracy: "))).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
