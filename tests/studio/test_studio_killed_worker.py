"""Workers are killed while a real training runs: it goes on, ends once, and nothing that was acknowledged is lost."""

from __future__ import annotations

import io
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from studio_rig import NOON, Workplace
from tiny_runs import COLOURS, shapes

from studio.database.engine import Database
from studio.database.tables import jobs
from studio.jobs import queue
from studio.jobs.folder import JobFolder
from studio.jobs.inputs import ExportInput, TrainingInput
from studio.jobs.process import JobProcess
from studio.jobs.queue import State

# So many on PostgreSQL too, where it is set.
KILLS = os.environ.get("ONSIGHT_TEST_WORKER_KILLS")
WITHIN_S = 240
EPOCHS = 120
TINY = {
    "minutes": 5, "from_scratch": True, "size": 16, "hidden_units": 8, "patience": 10_000, "batch_size": 16,
    "validation_fraction": 0.25, "augmentation": "none",
}  # fmt: skip


class Workers:
    """`onsight studio worker`, one after the other."""

    def __init__(self, home: Path, database_url: str) -> None:
        self.log = home.with_name("worker.log")
        self._environment = {name: value for name, value in os.environ.items() if not name.startswith("ONSIGHT_")}
        self._environment |= {
            "ONSIGHT_HOME": str(home), "ONSIGHT_DATABASE_URL": database_url, "ONSIGHT_STUDIO_JOB_SILENCE_S": "2",
            "OMP_NUM_THREADS": "1",
        }  # fmt: skip
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "onsight.cli", "studio", "worker"],
                stdout=log, stderr=log, env=self._environment, start_new_session=True,
            )  # fmt: skip

    def end(self, number: signal.Signals) -> int:
        assert self._process is not None
        self._process.send_signal(number)
        return self._process.wait(WITHIN_S)


@pytest.fixture
def workers(work: Workplace, database_url: str) -> Iterator[Workers]:
    found = Workers(work.rig.parts.settings.home, database_url)
    yield found
    if found._process is not None and found._process.poll() is None:
        found.end(signal.SIGKILL)
    root = work.rig.parts.settings.jobs_folder
    for path in root.iterdir() if root.is_dir() else ():
        JobFolder(root, path.name).remove()


@pytest.fixture
def labelled(work: Workplace) -> Workplace:
    """Real images of three colours, eight each."""
    for number, colour in enumerate(COLOURS):
        files = {}
        for count in range(8):
            stream = io.BytesIO()
            shapes((colour,), 100 * number + count, edge=16).save(stream, "PNG")
            files[f"{colour}-{count}.png"] = stream.getvalue()
        report = work.upload(files)
        (label,) = work.add_labels(colour)
        work.label([file["image"] for file in report["files"]], label)
    return work


def add(work: Workplace, **options: Any) -> Any:
    with work.rig.parts.database.writing() as connection:
        wanted = TrainingInput(**{**TINY, **options})
        return queue.add_training(connection, work.project_id, None, "tiny", wanted, NOON)


def wait(what: str, is_so: Callable[[], bool], log: Path) -> None:
    deadline = time.monotonic() + WITHIN_S
    while not is_so():
        assert time.monotonic() < deadline, f"{what}\n{log.read_text()[-4000:]}"
        time.sleep(0.05)


def state_of(database: Database, job_id: int) -> tuple[str, str | None]:
    with database.reading() as connection:
        row = connection.execute(select(jobs.c.state, jobs.c.message).where(jobs.c.id == job_id)).one()
    return row.state, row.message


@pytest.mark.slow
def test_a_training_outlives_its_workers_and_what_was_acknowledged_stays(
    labelled: Workplace, workers: Workers, database_kind: str
) -> None:
    parts = labelled.rig.parts
    training, unwanted = add(labelled, epochs=EPOCHS), add(labelled)
    place = JobFolder(parts.settings.jobs_folder, training.public_id)
    with parts.database.writing() as connection:
        queue.request_cancel(connection, unwanted.id, NOON)
    kills = int(KILLS or (10 if database_kind == "sqlite" else 4))
    random.seed(1)
    for kill in range(kills):
        workers.start()
        if kill == 1:
            wait("the process begins", lambda: JobProcess.find(place.lock_path) is not None, workers.log)
        if kill == 3:  # the whole machine: the worker, and the process in the middle of an epoch
            wait("some epochs", lambda: len(place.run.history()) > 3, workers.log)
        time.sleep(random.uniform(0, 1.2))
        assert workers.end(signal.SIGKILL) == -signal.SIGKILL
        process = JobProcess.find(place.lock_path)
        if kill == 3 and process is not None:
            process.send(signal.SIGKILL)
            assert process.wait(60)
    added = add(labelled, epochs=1)
    with parts.database.writing() as connection:
        queue.request_cancel(connection, added.id, NOON)

    workers.start()
    wait("done", lambda: state_of(parts.database, training.id)[0] not in queue.WAITING, workers.log)
    assert state_of(parts.database, training.id) == (State.DONE, None), workers.log.read_text()[-4000:]
    assert place.run.complete
    epochs = [row["epoch"] for row in place.run.history()]
    assert epochs == list(range(1, EPOCHS + 1))
    assert len(list(place.run.events("start"))) <= 3  # its own beginning, the whole machine, and no other
    assert [state_of(parts.database, job.id)[0] for job in (unwanted, added)] == [State.CANCELLED] * 2
    assert workers.end(signal.SIGTERM) == 0


@pytest.mark.slow
@pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
def test_stop_goes_on_cancel_ends_and_a_failure_says_why(labelled: Workplace, workers: Workers) -> None:
    parts = labelled.rig.parts
    training = add(labelled, epochs=100_000)
    place = JobFolder(parts.settings.jobs_folder, training.public_id)
    workers.start()
    wait("some epochs", lambda: len(place.run.history()) > 3, workers.log)
    assert workers.end(signal.SIGTERM) == 0  # the studio stops
    assert state_of(parts.database, training.id)[0] == State.QUEUED
    assert JobProcess.find(place.lock_path) is None
    stopped_at = len(place.run.history())

    wanted = ExportInput(training=_finished(labelled))
    with parts.database.writing() as connection:
        hopeless = queue.add_export(connection, labelled.project_id, None, wanted, NOON)
    workers.start()
    wait("it goes on", lambda: len(place.run.history()) > stopped_at, workers.log)
    with parts.database.reading() as connection:
        assert connection.scalar(select(jobs.c.progress).where(jobs.c.id == training.id))["epoch"] > 3
    with parts.database.writing() as connection:
        queue.request_cancel(connection, training.id, NOON)
    wait("cancelled", lambda: state_of(parts.database, training.id)[0] == State.CANCELLED, workers.log)
    assert place.run.trained  # the best model so far is there
    wait("failed", lambda: state_of(parts.database, hopeless.id)[0] == State.FAILED, workers.log)
    assert "not there any more" in (state_of(parts.database, hopeless.id)[1] or "")
    assert workers.end(signal.SIGTERM) == 0


def _finished(work: Workplace) -> str:
    """Public id of a training that ended, and whose folder is gone."""
    database = work.rig.parts.database
    job = add(work)
    with database.writing() as connection:
        queue.request_cancel(connection, job.id, NOON)
    return str(job.public_id)
