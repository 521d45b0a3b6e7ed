"""The queue of jobs: claims, heartbeats, cancels, the frozen data set; and the process of a job."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from studio_rig import NOON, Workplace, picture

from studio.database.engine import Database
from studio.database.tables import datasets, jobs
from studio.errors import Conflict, Invalid, NotFound
from studio.jobs import queue
from studio.jobs.dataset import difference, read_dataset
from studio.jobs.estimates import estimates
from studio.jobs.folder import JobFolder
from studio.jobs.inputs import ExportInput, TrainingInput
from studio.jobs.process import JobProcess
from studio.jobs.progress import EventTail
from studio.jobs.queue import State
from studio.projects.store import add_project

LATER = NOON + timedelta(minutes=10)


@pytest.fixture
def labelled(work: Workplace) -> Workplace:
    """Six images: three cats, two dogs, one without a label."""
    images = work.add_images(6)
    cat, dog = work.add_labels("cat", "dog")
    work.label(images[:3], cat)
    work.label(images[3:5], dog)
    return work


def add(work: Workplace, **options: Any) -> Any:
    with work.rig.parts.database.writing() as connection:
        return queue.add_training(connection, work.project_id, None, "t", TrainingInput(**options), NOON)


def row_of(database: Database, job_id: int) -> Any:
    with database.reading() as connection:
        return connection.execute(select(jobs).where(jobs.c.id == job_id)).one()


def cancel(database: Database, job_id: int) -> None:
    with database.writing() as connection:
        queue.request_cancel(connection, job_id, NOON)


def test_each_job_is_claimed_once_however_many_workers_ask(labelled: Workplace) -> None:
    database = labelled.rig.parts.database
    wanted = [add(labelled).id for _ in range(6)]
    barrier = threading.Barrier(4)

    def ask(number: int) -> list[int]:
        barrier.wait()
        found = []
        while (job := queue.claim(database, f"w{number}", NOON)) is not None:
            found.append(job.id)
        return found

    with ThreadPoolExecutor(4) as pool:
        claimed = list(pool.map(ask, range(4)))
    assert sorted(job for each in claimed for job in each) == wanted
    assert all(each == sorted(each) for each in claimed)


def test_a_silent_workers_job_goes_back_and_its_late_words_change_nothing(labelled: Workplace) -> None:
    database = labelled.rig.parts.database
    job = add(labelled)
    assert queue.claim(database, "old", NOON) is not None
    assert queue.start(database, job.id, "old", NOON)
    assert queue.requeue_stale(database, NOON + queue.STALE_AFTER) == 0
    assert queue.beat(database, job.id, "old", LATER, {"done": 1}).held
    assert queue.requeue_stale(database, LATER) == 0
    assert queue.requeue_stale(database, LATER + queue.STALE_AFTER + timedelta(seconds=1)) == 1
    assert row_of(database, job.id).state == State.QUEUED
    again = queue.claim(database, "new", LATER)
    assert again is not None
    assert again.id == job.id
    assert not queue.beat(database, job.id, "old", LATER, {"done": 9}).held
    assert not queue.finish(database, job.id, "old", State.FAILED, LATER, "late")
    assert not queue.start(database, job.id, "old", LATER)
    assert not queue.release(database, job.id, "old")
    assert queue.count_death(database, job.id, "old") == 0
    row = row_of(database, job.id)
    assert (row.state, row.worker, row.progress, row.message) == (State.CLAIMED, "new", {"done": 1}, None)
    assert row.started_at == NOON


def test_a_waiting_job_is_cancelled_at_once_and_a_running_one_hears_of_it(labelled: Workplace) -> None:
    database = labelled.rig.parts.database
    waiting, running = add(labelled), add(labelled)
    cancel(database, waiting.id)
    assert row_of(database, waiting.id).state == State.CANCELLED
    claimed = queue.claim(database, "w", NOON)
    assert claimed is not None
    assert claimed.id == running.id
    cancel(database, running.id)
    assert queue.beat(database, running.id, "w", NOON).cancel_requested
    assert row_of(database, running.id).state == State.CLAIMED
    assert queue.finish(database, running.id, "w", State.CANCELLED, NOON)
    with pytest.raises(Conflict, match="ended"):
        cancel(database, running.id)
    with database.writing() as connection:
        queue.resume(connection, running.id)
    assert not queue.claim(database, "w", NOON).cancel_requested  # type: ignore[union-attr]


def test_a_job_that_runs_is_not_deleted_and_its_worker_sees_that_another_is_gone(labelled: Workplace) -> None:
    database = labelled.rig.parts.database
    job = add(labelled)
    queue.claim(database, "w", NOON)
    with pytest.raises(Conflict, match="Cancel it first"), database.writing() as connection:
        queue.delete_job(connection, job.id)
    queue.release(database, job.id, "w")
    with database.writing() as connection:
        queue.delete_job(connection, job.id)
    heard = queue.beat(database, job.id, "w", NOON)
    assert (heard.held, heard.exists) == (False, False)


def test_what_ended_can_go_on_and_what_did_not_cannot(labelled: Workplace) -> None:
    database = labelled.rig.parts.database
    job = add(labelled)
    with pytest.raises(Conflict), database.writing() as connection:
        queue.resume(connection, job.id)
    queue.claim(database, "w", NOON)
    queue.finish(database, job.id, "w", State.FAILED, LATER, "no memory")
    assert row_of(database, job.id).message == "no memory"
    with database.writing() as connection:
        queue.resume(connection, job.id)
    row = row_of(database, job.id)
    assert (row.state, row.message, row.finished_at) == (State.QUEUED, None, None)


def test_an_export_needs_a_training_of_the_project_that_has_ended(labelled: Workplace) -> None:
    database = labelled.rig.parts.database
    job = add(labelled)
    wanted = ExportInput(training=job.public_id)
    with pytest.raises(Conflict, match="has ended"), database.writing() as connection:
        queue.add_export(connection, labelled.project_id, None, wanted, NOON)
    with database.writing() as connection:
        other = add_project(connection, "other", labelled.rig.user_id(labelled.owner), NOON)
    with pytest.raises(NotFound), database.writing() as connection:
        queue.add_export(connection, other.id, None, wanted, NOON)
    queue.claim(database, "w", NOON)
    queue.finish(database, job.id, "w", State.DONE, NOON)
    with database.writing() as connection:
        assert queue.add_export(connection, labelled.project_id, None, wanted, NOON).kind == "export"


def test_the_line_says_when_each_job_starts_at_the_latest(labelled: Workplace) -> None:
    database = labelled.rig.parts.database
    first, second, third = (add(labelled, minutes=minutes).id for minutes in (10, 5, 1))
    queue.claim(database, "w", NOON)
    queue.beat(database, first, "w", NOON, {"eta_s": 100})
    now = NOON + timedelta(seconds=40)
    with database.reading() as connection:
        one, two = (estimates(connection, slots, now) for slots in (1, 2))
    assert (one[first].place, one[second].place, one[third].place) == (0, 1, 2)
    assert one[first].takes_s == 60
    assert one[second].starts_in_s == 60
    assert one[third].starts_in_s == 60 + one[second].takes_s
    assert one[second].takes_s > 5 * 60
    assert (two[second].starts_in_s, two[third].starts_in_s) == (0, 60)


def test_a_training_learns_the_labels_of_the_moment_it_was_queued(labelled: Workplace) -> None:
    database = labelled.rig.parts.database
    before, same = add(labelled), add(labelled)
    assert before.dataset_id == same.dataset_id
    grid = labelled.grid()
    cat = next(
        label["id"] for label in labelled.caller.get(f"{labelled.path}/labels")["labels"] if label["name"] == "cat"
    )
    labelled.label([grid[5]["id"]], cat)
    labelled.caller.post(f"{labelled.path}/labelling", {"selection": {"images": [grid[0]["id"]]}, "remove": [cat]})
    after = add(labelled)
    with database.reading() as connection:
        old, new = (read_dataset(connection, job.dataset_id) for job in (before, after))
        assert connection.scalar(select(datasets.c.image_count).where(datasets.c.id == before.dataset_id)) == 5
    assert [image.labels for image in old] == [("cat",)] * 3 + [("dog",)] * 2
    told = [(each.change, each.image) for each in difference(old, new)]
    assert told == [("added", grid[5]["id"]), ("removed", grid[0]["id"])]


def test_only_the_labels_that_were_ticked_count(labelled: Workplace) -> None:
    database = labelled.rig.parts.database
    dogs = add(labelled, labels=("dog",), unlabelled_as_negative=True)
    with database.reading() as connection:
        found = [image.labels for image in read_dataset(connection, dogs.dataset_id)]
    assert found == [(), (), (), ("dog",), ("dog",), ()]
    with pytest.raises(NotFound, match="horse"):
        add(labelled, labels=("horse",))


def test_a_project_without_a_labelled_image_trains_nothing(work: Workplace) -> None:
    work.add_images(2)
    with pytest.raises(Invalid, match="Label some first"):
        add(work)


def test_a_project_is_deleted_with_its_jobs(labelled: Workplace) -> None:
    add(labelled)
    labelled.caller.delete(labelled.path)
    with labelled.rig.parts.database.reading() as connection:
        assert connection.execute(select(jobs)).all() == []
        assert connection.execute(select(datasets)).all() == []


def test_the_folder_of_a_training_links_the_files_and_names_their_labels(labelled: Workplace, tmp_path: Path) -> None:
    parts = labelled.rig.parts
    job = add(labelled, use_validation_flags=True)
    parts.originals.remove(hashlib.sha256(picture(1)).hexdigest())
    with parts.database.reading() as connection:
        version = read_dataset(connection, job.dataset_id)
    place = JobFolder(tmp_path / "jobs", job.public_id)
    seen: list[int] = []
    for _ in range(2):  # the second time there is nothing to do
        place.lay_out(version, parts.originals, use_flags=True, alive=lambda: seen.append(1))
    assert len(seen) == 5
    rows = json.loads(place.labels_path.read_text())
    assert [row["labels"] for row in rows] == [["cat"]] * 2 + [["dog"]] * 2  # one was removed since
    assert {row["split"] for row in rows} == {"train"}
    assert (place.images / rows[0]["file"]).read_bytes() == picture(0)
    place.remove()
    assert not place.folder.exists()


def test_inputs_become_the_options_of_the_command_line(labelled: Workplace, tmp_path: Path) -> None:
    job = add(labelled, minutes=3, task="multi_label", epochs=4, from_scratch=True, seed=7)
    place = JobFolder(tmp_path, job.public_id)
    command = place.command(job)
    assert command[1:4] == ["-m", "onsight.cli", "train"]
    options = " ".join(command)
    for part in ("--minutes 3.0", "--epochs 4", "--from-scratch", "--multi-label", "--seed 7", "--validation 0.2"):
        assert part in options
    place.run.folder.mkdir(parents=True)
    (place.run.folder / ".recipe.json.1.tmp").touch()  # of a process that was killed
    place.command(job)
    assert not place.run.folder.exists()
    place.run.folder.mkdir()
    place.run.recipe_path.touch()
    assert place.command(job)[4:] == ["--resume", "--out", str(place.run.folder)]


def test_progress_is_read_as_it_is_written_and_a_torn_line_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    tail = EventTail(path, budget_s=60)
    assert tail.read() is None

    def append(text: str) -> None:
        with path.open("a") as file:
            file.write(text)

    append('{"event": "start", "at_s": 100}\n{"event": "progress", "at_s": 100, "stage": "features", "done": 0,')
    assert tail.read() == {}
    append(' "total": 100}\n{"event": "progress", "at_s": 110, "stage": "features", "done": 50, "total": 100}\n')
    assert tail.read() == {"stage": "features", "done": 50, "total": 100, "eta_s": 70.0}
    assert tail.read() is None
    append('{"event": "ep{"event": "progress"}\n')
    assert tail.read() is None
    append('{"event": "epoch", "at_s": 120, "epoch": 3, "planned_epochs": 9, "validation_loss": 0.5, "best": true}\n')
    found = tail.read()
    assert found is not None
    assert (found["epoch"], found["best_epoch"], found["best_validation_loss"]) == (3, 3, 0.5)


@pytest.fixture
def sleeper(tmp_path: Path) -> Iterator[JobProcess]:
    """A process with a child of its own, which holds the lock as well."""
    script = "import subprocess, sys, time; subprocess.Popen(['sleep', '60'], close_fds=False); time.sleep(60)"
    started = JobProcess.start(
        tmp_path / "lock", [sys.executable, "-c", script], tmp_path / "log", {"PATH": "/usr/bin:/bin"}
    )
    yield started
    started.send(signal.SIGKILL)
    assert started.wait(30)


def test_a_process_is_found_by_its_lock_and_no_second_one_starts(sleeper: JobProcess, tmp_path: Path) -> None:
    found = _found(tmp_path / "lock")
    second = JobProcess.start(tmp_path / "lock", [sys.executable, "-c", "print('ran')"], tmp_path / "log", {})
    assert not second.wait(2)  # it watches the first
    assert second.status is None
    assert "ran" not in (tmp_path / "log").read_text()
    found.send(signal.SIGKILL)
    assert found.wait(30)
    assert second.wait(30)
    assert sleeper.wait(30)
    assert sleeper.status == -signal.SIGKILL
    assert JobProcess.find(tmp_path / "lock") is None


def test_what_a_killed_process_leaves_running_is_ended(sleeper: JobProcess, tmp_path: Path) -> None:
    found = _found(tmp_path / "lock")
    time.sleep(0.5)
    os.kill(int((tmp_path / "lock").read_text()), signal.SIGKILL)  # the leader alone
    assert sleeper.wait(30)
    assert found.wait(30)


def _found(lock: Path) -> JobProcess:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        process = JobProcess.find(lock)
        if process is not None and lock.read_text().isdigit():
            return process
        time.sleep(0.02)
    raise AssertionError("the process did not take its lock")
