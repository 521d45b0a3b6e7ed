"""Trainings and exports over HTTP: queue, watch, cancel, let go on, delete; and who sees whose."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from studio_rig import V1, Workplace

from studio.jobs import queue
from studio.jobs.folder import JobFolder
from studio.jobs.queue import SHORT_KINDS, Kind, State


@pytest.fixture
def labelled(work: Workplace) -> Workplace:
    """Three cats, two dogs, one image without a label."""
    images = work.add_images(6)
    cat, dog = work.add_labels("cat", "dog")
    work.label(images[:3], cat)
    work.label(images[3:5], dog)
    return work


def train(work: Workplace, name: str = "t", **training: Any) -> dict[str, Any]:
    queued: dict[str, Any] = work.caller.post(f"{work.path}/trainings", {"name": name, "training": training}, 201)
    return queued


def folder_of(work: Workplace, job: str) -> JobFolder:
    return JobFolder(work.rig.parts.settings.jobs_folder, job)


def claim(work: Workplace, worker: str = "w", **options: Any) -> Any:
    return queue.claim(work.rig.parts.database, worker, work.rig.clock(), **options)


def finish(work: Workplace, job: Any, state: State, message: str | None = None) -> None:
    assert queue.finish(work.rig.parts.database, job.id, "w", state, work.rig.clock(), message)


def test_a_training_is_queued_on_the_images_as_they_are_now(labelled: Workplace) -> None:
    job = train(labelled, "First try", minutes=3, task="single_label")
    assert (job["kind"], job["state"], job["place"], job["name"]) == ("training", "queued", 1, "First try")
    assert job["image_count"] == 5
    assert job["training"]["minutes"] == 3
    assert job["user_name"] == labelled.owner
    assert job["takes_s"] > 180
    assert labelled.caller.get(f"{labelled.path}/jobs/{job['id']}") == job


def test_what_cannot_be_trained_is_refused_before_anything_is_queued(work: Workplace) -> None:
    path = f"{work.path}/trainings"
    assert work.caller.refused("POST", path, json={"name": "t"}) == (400, "DATASET_EMPTY")
    wrong = {"name": "t", "training": {"minutes": -1}}
    assert work.caller.refused("POST", path, json=wrong) == (400, "JSON_INVALID")
    unknown = {"name": "t", "training": {"labels": ["horse"]}}
    assert work.caller.refused("POST", path, json=unknown) == (404, "NOT_FOUND")
    assert work.caller.get(f"{work.path}/jobs") == {"jobs": [], "next": None}


def test_jobs_come_the_newest_first_in_pages_and_by_kind_and_state(labelled: Workplace) -> None:
    wanted = [train(labelled, f"t{number}")["id"] for number in range(5)]
    first = labelled.caller.get(f"{labelled.path}/jobs?limit=3")
    rest = labelled.caller.get(f"{labelled.path}/jobs?limit=3&after={first['next']}")
    assert [job["id"] for job in first["jobs"] + rest["jobs"]] == wanted[::-1]
    assert rest["next"] is None
    labelled.caller.post(f"{labelled.path}/jobs/{wanted[0]}/cancel")
    ended = labelled.caller.get(f"{labelled.path}/jobs?state=cancelled&state=failed")["jobs"]
    assert [job["id"] for job in ended] == [wanted[0]]
    assert labelled.caller.get(f"{labelled.path}/jobs?kind=export")["jobs"] == []


def test_a_running_job_tells_its_progress_and_an_ended_one_what_went_wrong(labelled: Workplace) -> None:
    database, clock = labelled.rig.parts.database, labelled.rig.clock
    path = f"{labelled.path}/jobs/{train(labelled)['id']}"
    row = claim(labelled)
    queue.start(database, row.id, "w", clock())
    queue.beat(database, row.id, "w", clock(), {"stage": "head", "done": 3, "total": 10, "eta_s": 7.5, "epoch": 3})
    clock.pass_(seconds=2)
    job = labelled.caller.get(path)
    assert (job["state"], job["place"], job["starts_in_s"], job["takes_s"]) == ("running", 0, 0, 5.5)
    assert (job["progress"]["stage"], job["progress"]["epoch"]) == ("head", 3)
    finish(labelled, row, State.FAILED, "Out of memory.")
    job = labelled.caller.get(path)
    assert (job["state"], job["message"], job["place"]) == ("failed", "Out of memory.", None)
    assert labelled.caller.post(f"{path}/resume")["state"] == "queued"
    assert labelled.caller.refused("POST", f"{path}/resume") == (409, "JOB_NOT_ENDED")


def test_a_held_job_is_cancelled_by_its_worker_and_an_ended_one_by_nobody(labelled: Workplace) -> None:
    path = f"{labelled.path}/jobs/{train(labelled)['id']}"
    row = claim(labelled)
    assert labelled.caller.post(f"{path}/cancel")["state"] == "claimed"
    assert queue.beat(labelled.rig.parts.database, row.id, "w", labelled.rig.clock()).cancel_requested
    assert labelled.caller.refused("DELETE", path) == (409, "JOB_RUNNING")
    finish(labelled, row, State.CANCELLED)
    assert labelled.caller.refused("POST", f"{path}/cancel") == (409, "JOB_ENDED")


def test_a_deleted_job_takes_its_folder_along(labelled: Workplace) -> None:
    job = train(labelled)["id"]
    place = folder_of(labelled, job)
    place.run.folder.mkdir(parents=True)
    (place.run.folder / "best.safetensors").write_bytes(b"weights")
    labelled.caller.delete(f"{labelled.path}/jobs/{job}")
    assert not place.folder.exists()
    assert labelled.caller.refused("GET", f"{labelled.path}/jobs/{job}") == (404, "JOB_NOT_FOUND")


def test_the_log_and_the_curves_are_there_while_it_trains(labelled: Workplace) -> None:
    job = train(labelled)["id"]
    path, place = f"{labelled.path}/jobs/{job}", folder_of(labelled, job)
    assert labelled.caller.get(f"{path}/curves") == {"epochs": [], "best_epoch": None}
    assert labelled.caller.ask("GET", f"{path}/log").text == ""
    place.run.folder.mkdir(parents=True)
    place.log_path.write_text(f"reading {place.folder}/images\n")
    rows = [
        {"event": "epoch", "stage": "head", "epoch": 1, "at_s": 1.5, "train_loss": 1.0, "validation_loss": 1.1,
         "learning_rate": 0.1, "best": True},
        {"event": "epoch", "stage": "head", "epoch": 2, "at_s": 2.5, "train_loss": 0.5, "validation_loss": 1.2,
         "learning_rate": 0.1, "best": False},
    ]  # fmt: skip
    place.run.events_path.write_text("".join(json.dumps(row) + "\n" for row in rows) + '{"event": "epo')
    curves = labelled.caller.get(f"{path}/curves")
    assert [row["validation_loss"] for row in curves["epochs"]] == [1.1, 1.2]
    assert curves["best_epoch"] == 1
    log = labelled.caller.ask("GET", f"{path}/log")
    assert log.text == "reading images\n"
    assert log.content_type == "text/plain; charset=utf-8"


def test_an_export_needs_a_trained_model_and_waits_for_no_training(labelled: Workplace) -> None:
    trained = train(labelled)["id"]
    path, wanted = f"{labelled.path}/exports", {"training": trained, "name": "pets"}
    assert labelled.caller.refused("POST", path, json=wanted) == (409, "NOT_TRAINED")
    for unfit in ({"training": "a\0b"}, {"thresholds": {"a\0b": 0.5}}, {"variants": ["fp32"] * 5}):
        assert labelled.caller.refused("POST", path, json=wanted | unfit) == (400, "JSON_INVALID"), unfit
    finish(labelled, claim(labelled), State.DONE)
    waiting = [train(labelled, f"t{number}") for number in range(3)]
    export = labelled.caller.post(path, wanted, 201)
    assert (export["kind"], export["place"], export["starts_in_s"]) == ("export", 1, 0)
    assert export["export"]["name"] == "pets"
    assert [job["place"] for job in waiting] == [1, 2, 3]
    assert claim(labelled, "short", kinds=SHORT_KINDS).public_id == export["id"]
    assert claim(labelled, "short", kinds=SHORT_KINDS) is None
    assert claim(labelled, "long", kinds=tuple(Kind)).public_id == waiting[0]["id"]


def test_the_queue_tells_times_of_all_and_names_of_ones_own(labelled: Workplace) -> None:
    other = labelled.rig.workplace()
    (label,) = other.add_labels("cup")
    other.label(other.add_images(1), label)
    first = train(labelled, "mine", minutes=1)
    labelled.rig.clock.pass_(seconds=1)
    second = train(other, "theirs", minutes=2)
    mine, theirs = labelled.caller.get(f"{V1}/queue")["jobs"]
    assert (mine["id"], mine["name"], mine["project"]) == (first["id"], "mine", labelled.public_id)
    assert (theirs["id"], theirs["name"], theirs["project"], theirs["project_name"]) == (None,) * 4
    assert theirs["starts_in_s"] >= mine["takes_s"]
    assert [job["id"] for job in other.caller.get(f"{V1}/queue")["jobs"]] == [None, second["id"]]


def test_another_projects_job_is_not_there(labelled: Workplace) -> None:
    job = train(labelled)["id"]
    other = labelled.rig.workplace()
    for method, more in (("GET", ""), ("GET", "/log"), ("GET", "/curves"), ("POST", "/cancel"), ("DELETE", "")):
        assert other.caller.refused(method, f"{other.path}/jobs/{job}{more}") == (404, "JOB_NOT_FOUND")
    assert labelled.caller.get(f"{labelled.path}/jobs/{job}")["state"] == "queued"


def test_estimates_pass_with_time(labelled: Workplace) -> None:
    row_path = f"{labelled.path}/jobs/{train(labelled, minutes=2)['id']}"
    row = claim(labelled)
    queue.start(labelled.rig.parts.database, row.id, "w", labelled.rig.clock())
    before = labelled.caller.get(row_path)["takes_s"]
    labelled.rig.clock.now += timedelta(seconds=20)
    assert labelled.caller.get(row_path)["takes_s"] == pytest.approx(before - 20)
