"""How good a model is, over HTTP: figures at any thresholds, curves, predictions, label issues, comparison."""

from __future__ import annotations

import csv
import io
import zipfile
from typing import Any

import numpy as np
import pytest
from recorded_run import LABELS, make_run
from sqlalchemy import insert
from studio_rig import NOON, Workplace

from bundle.manifest import Task
from studio.analysis.measured import measure
from studio.analysis.scores import Model
from studio.database.tables import jobs
from studio.jobs.folder import JobFolder
from studio.jobs.inputs import TrainingInput
from studio.jobs.queue import Kind, State
from trainer.data.split import Split

IMAGES = 90


@pytest.fixture
def images(work: Workplace) -> list[str]:
    """Public ids, in the order of the run's paths; labelled as the single-label run says."""
    found = sorted(work.add_images(IMAGES))
    labels = work.add_labels(*LABELS)
    for place, label in enumerate(labels):
        work.label(found[place::3], label)
    return found


def add_model(work: Workplace, images: list[str], task: Task = Task.SINGLE_LABEL, name: str = "m", **run: Any) -> str:
    """Public id of a training that was measured on these images."""
    values: dict[str, Any] = {
        "project_id": work.project_id, "kind": Kind.TRAINING.value, "name": name, "state": State.DONE.value,
        "input": TrainingInput().model_dump(mode="json"), "progress": {}, "created_at": NOON, "finished_at": NOON,
    }  # fmt: skip
    with work.rig.parts.database.writing() as connection:
        row = connection.execute(insert(jobs).values(**values).returning(jobs)).one()
    make_run(folder_of(work, row.public_id).run.folder, task, names=[f"{image}.png" for image in images], **run)
    return str(row.public_id)


def folder_of(work: Workplace, job: str) -> JobFolder:
    return JobFolder(work.rig.parts.settings.jobs_folder, job)


def ask(work: Workplace, job: str, call: str, **body: Any) -> Any:
    return work.caller.post(f"{work.path}/models/{job}/{call}", body)


def test_a_list_of_models_has_their_headline_figures_and_no_unfinished_training(
    work: Workplace, images: list[str]
) -> None:
    work.caller.post(f"{work.path}/trainings", {"name": "waits"}, 201)
    first, second = (add_model(work, images, name=name) for name in ("first", "second"))
    found = work.caller.get(f"{work.path}/models")["models"]
    assert [model["id"] for model in found] == [second, first]
    assert (found[0]["split"], found[0]["labels"], found[0]["task"]) == ("test", 3, "single_label")
    assert found[0]["metrics"]["accuracy"]["low"] <= found[0]["metrics"]["accuracy"]["value"]


def test_figures_are_those_of_the_thresholds_that_are_asked_for(work: Workplace, images: list[str]) -> None:
    job = add_model(work, images, Task.MULTI_LABEL)
    scored = Model(folder_of(work, job).run.folder, "last").scored(Split.TEST)
    for thresholds in ([0.2, 0.5, 0.9], [1.0, 1.0, 1.0]):
        told = ask(work, job, "measure", choice="last", split="test", thresholds=thresholds)
        expected = measure(scored, np.asarray(thresholds, np.float32))
        assert told["metrics"] == pytest.approx(expected.metrics)
        assert [each["predicted"] for each in told["classes"]] == [each.predicted for each in expected.classes]
        assert (told["own_thresholds"], told["intervals"], told["confusion"]) == (False, {}, None)
    own = ask(work, job, "measure", choice="last", split="test")
    assert own["own_thresholds"]
    assert own["intervals"]["f1_macro"]["low"] <= own["metrics"]["f1_macro"] <= own["intervals"]["f1_macro"]["high"]


def test_saved_thresholds_are_in_force_until_they_are_taken_back(work: Workplace, images: list[str]) -> None:
    job = add_model(work, images, Task.MULTI_LABEL)
    path = f"{work.path}/models/{job}"
    before = work.caller.get(path)
    assert (before["saved"], before["thresholds"]) == (False, before["own_thresholds"])
    assert work.caller.put(f"{path}/thresholds", {"thresholds": [0.9, 0.8, 0.7]})["saved"]
    assert work.caller.get(path)["thresholds"] == [0.9, 0.8, 0.7]
    assert work.caller.get(f"{path}?choice=last")["saved"] is False
    assert ask(work, job, "measure")["thresholds"] == pytest.approx([0.9, 0.8, 0.7])
    assert work.caller.put(f"{path}/thresholds", {"thresholds": None}) == before
    wrong = {"json": {"thresholds": [0.5]}}
    assert work.caller.refused("PUT", f"{path}/thresholds", **wrong) == (400, "VALUE_INVALID")


def test_a_click_on_a_curve_gives_the_threshold_of_the_point_under_it(work: Workplace, images: list[str]) -> None:
    job = add_model(work, images, Task.MULTI_LABEL)
    curve = work.caller.get(f"{work.path}/models/{job}/curve?label=dog&split=test&points=2000")
    place = len(curve["recall"]) // 2
    told = ask(
        work, job, "curve/click", label="dog", split="test", recall=curve["recall"][place],
        precision=curve["precision"][place],
    )  # fmt: skip
    thresholds = [0.5, told["threshold"], 0.5]
    measured = ask(work, job, "measure", split="test", thresholds=thresholds)["classes"][1]
    assert measured["recall"] == pytest.approx(curve["recall"][place], abs=1e-5)
    assert measured["precision"] == pytest.approx(curve["precision"][place], abs=1e-5)
    pooled = work.caller.get(f"{work.path}/models/{job}/curve?split=test")
    assert pooled["recall"] == sorted(pooled["recall"])


def test_thresholds_for_a_precision_reach_it(work: Workplace, images: list[str]) -> None:
    job = add_model(work, images, Task.MULTI_LABEL)
    chosen = ask(work, job, "thresholds/choose", rule="precision", target=0.8, split="test")
    measured = ask(work, job, "measure", split="test", thresholds=chosen["thresholds"])
    reached = [each["precision"] for each in measured["classes"] if each["label"] not in chosen["kept"]]
    assert reached
    assert min(reached) >= 0.8


def test_a_cell_of_the_confusion_matrix_has_as_many_images_as_it_says(work: Workplace, images: list[str]) -> None:
    job = add_model(work, images)
    cells = ask(work, job, "measure", split="test")["confusion"]["cells"]
    assert sum(count for _, _, count in cells) == 30
    for truth, predicted, count in cells:
        page = ask(work, job, "predictions", split="test", truth=LABELS[truth], predicted=LABELS[predicted])
        assert page["count"] == count
        assert all(each["image"] in images for each in page["predictions"])
        assert all(
            (each["truth"][0]["label"] == each["decided"][0]["label"]) is each["correct"]
            for each in page["predictions"]
        )


def test_predictions_come_in_pages_and_name_the_images_that_are_still_there(work: Workplace, images: list[str]) -> None:
    job = add_model(work, images)
    first = ask(work, job, "predictions", limit=20, order="worst")
    work.caller.delete(f"{work.path}/images/{first['predictions'][0]['image']}")
    second = ask(work, job, "predictions", limit=20, order="worst", after=first["next"])
    seen = [each["image"] for each in first["predictions"] + second["predictions"]]
    assert len(set(seen)) == 30
    losses = [each["loss"] for each in first["predictions"] + second["predictions"]]
    assert losses == sorted(losses, reverse=True)
    again = ask(work, job, "predictions", limit=2)["predictions"]
    assert again[0]["name"] is None
    assert again[1]["name"].endswith(".png")


def test_predictions_travel_as_a_table_and_as_a_zip_with_small_images(work: Workplace, images: list[str]) -> None:
    job = add_model(work, images)
    table = work.caller.ask("GET", f"{work.path}/models/{job}/predictions.csv?split=test")
    assert "attachment" in table.headers["Content-Disposition"]
    rows = list(csv.DictReader(io.StringIO(table.text)))
    assert len(rows) == 30
    packed = work.caller.ask("GET", f"{work.path}/models/{job}/predictions.zip?split=test")
    with zipfile.ZipFile(io.BytesIO(packed.data)) as archive:
        assert archive.testzip() is None
        names = [name for name in archive.namelist() if name != "predictions.csv"]
        assert archive.read("predictions.csv").decode() == table.text
    by_file = {row["file"].partition(".")[0]: row for row in rows}
    assert len(names) == 30
    for name in names:
        truth, said, file = name.split("/")
        row = by_file[file.partition(".")[0]]
        assert (row["truth"].lstrip("'"), row["predicted"].lstrip("'")) == (truth, said)


def test_a_suspicion_goes_when_its_label_is_mended(work: Workplace, images: list[str]) -> None:
    job = add_model(work, images)
    names = {label["name"]: label["id"] for label in work.caller.get(f"{work.path}/labels")["labels"]}
    before = work.caller.get(f"{work.path}/models/{job}/label-issues")
    assert before["count"] == len(before["issues"]) > 0
    worst = before["issues"][0]
    assert worst["margin"] == max(issue["margin"] for issue in before["issues"])
    work.label([worst["image"]], names[worst["add"]], remove=[names[worst["remove"]]])
    after = work.caller.get(f"{work.path}/models/{job}/label-issues")
    assert [issue["image"] for issue in after["issues"]] == [issue["image"] for issue in before["issues"][1:]]
    work.undo()
    assert work.caller.get(f"{work.path}/models/{job}/label-issues") == before


def test_two_models_are_compared_on_the_images_that_both_know(work: Workplace, images: list[str]) -> None:
    first, second = add_model(work, images, skill=1.0), add_model(work, images, skill=5.0, seed=1)
    path = f"{work.path}/models/{first}/comparison?other={second}&split=test"
    told = work.caller.get(path)
    assert told["images"] == 30
    assert told["other_correct"] - told["this_correct"] == len(told["only_other"]) - len(told["only_this"])
    assert set(told["only_other"]) <= set(images)
    other = add_model(work, images, Task.MULTI_LABEL)
    wrong = f"{work.path}/models/{first}/comparison?other={other}"
    assert work.caller.refused("GET", wrong) == (409, "OTHER_TASK")


def test_a_comparison_judges_each_model_by_the_thresholds_in_force(work: Workplace, images: list[str]) -> None:
    first, second = (add_model(work, images, Task.MULTI_LABEL, seed=seed) for seed in (0, 1))
    path = f"{work.path}/models/{first}/comparison?other={second}&split=test"
    before = work.caller.get(path)
    for job, mine, others in ((first, "this_correct", "other_correct"), (second, "other_correct", "this_correct")):
        own = work.caller.put(f"{work.path}/models/{job}/thresholds", {"thresholds": [0.9, 0.8, 0.95]})
        told = work.caller.get(path)
        exact = ask(work, job, "measure", split="test")["metrics"]["exact_match"]
        assert told[mine] == round(exact * 30) != before[mine]
        assert told[others] == before[others]
        assert own["saved"]
        work.caller.put(f"{work.path}/models/{job}/thresholds", {"thresholds": None})
    assert work.caller.get(path) == before


def test_what_is_no_measured_model_says_so(work: Workplace, images: list[str]) -> None:
    waiting = work.caller.post(f"{work.path}/trainings", {"name": "waits"}, 201)["id"]
    assert work.caller.refused("GET", f"{work.path}/models/{waiting}") == (409, "NOT_MEASURED")
    job = add_model(work, images)
    path = f"{work.path}/models/{job}"
    assert work.caller.refused("GET", f"{path}/curve?label=horse") == (404, "LABEL_NOT_FOUND")
    assert work.caller.refused("GET", f"{work.rig.workplace().path}/models/{job}")[0] == 404
    export = work.caller.post(f"{work.path}/exports", {"training": job}, 201)["id"]
    assert work.caller.refused("GET", f"{work.path}/models/{export}") == (409, "NOT_TRAINED")


def test_calibration_tells_how_often_answers_are_right(work: Workplace, images: list[str]) -> None:
    told = work.caller.get(f"{work.path}/models/{add_model(work, images)}/calibration?split=validation")
    assert sum(each["count"] for each in told["after"]["bins"]) == 30
