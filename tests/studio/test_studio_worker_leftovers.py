"""What must not stay behind: jobs of the studio's own that failed, folders of deleted projects, paths in messages;
and what must not end with them: other workers.
"""

from __future__ import annotations

import subprocess
import threading
import time
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, select
from studio_rig import Workplace

from studio.database.tables import jobs
from studio.jobs import queue
from studio.jobs.folder import JobFolder
from studio.jobs.supervision import Kept
from studio.jobs.worker import Worker


@pytest.fixture
def worker(work: Workplace, tmp_path: Path) -> Worker:
    parts = work.rig.parts
    root = tmp_path / "jobs"
    root.mkdir()
    environment = {"ONSIGHT_HOME": str(tmp_path / "home")}
    return Worker(parts.database, parts.originals, root, environment, parts.now, interval_s=0.02)


def test_a_reading_of_features_that_cannot_even_begin_leaves_no_job_behind(
    work: Workplace, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(JobFolder, "list_files", full)
    database = work.rig.parts.database
    for _ in range(3):  # as uploads ask for it, again and again
        with database.writing() as connection:
            queue.add_features(connection, work.project_id, work.rig.parts.now())
        assert worker.run_one()
    with database.reading() as connection:
        assert connection.scalar(select(func.count()).select_from(jobs)) == 0
    assert list(worker.root.iterdir()) == []


def test_folders_of_deleted_jobs_go_while_a_worker_runs(worker: Worker) -> None:
    worker.sweep_every = timedelta(0)
    running = threading.Thread(target=worker.run)
    running.start()
    try:
        for name in ("deletedJob1", "deletedJob2"):  # the second comes after a sweep for certain
            folder = worker.root / name
            (folder / "run").mkdir(parents=True)
            deadline = time.monotonic() + 60
            while folder.exists() and time.monotonic() < deadline:
                time.sleep(0.02)
            assert not folder.exists()
    finally:
        worker.stop()
        running.join()


def test_what_an_export_prints_names_no_folder_of_this_machine(tmp_path: Path) -> None:
    place = JobFolder(tmp_path, "anExport1")
    place.folder.mkdir()
    place.log_path.write_text(f"Error: {tmp_path}/aTraining1/run is no run folder, nor is {tmp_path}/anExport1/x\n")
    assert place.complaint() == "aTraining1/run is no run folder, nor is x"
    assert place.log_tail(1000) == "Error: aTraining1/run is no run folder, nor is x\n"


def test_a_worker_that_cannot_be_started_is_tried_again_later_and_takes_no_other_along(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tries = 0

    def short(*_: object, **__: object) -> None:
        nonlocal tries
        tries += 1
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(subprocess, "Popen", short)
    place = Kept(())
    for tenth in range(10 * 600):
        place.look(1000.0 + tenth / 9.7)
    assert 10 < tries < 20  # once a minute in the end
