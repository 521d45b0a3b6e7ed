"""Trainings that have ended, in a project of a rig: a tiny run of the test session, laid where a worker leaves it."""

from __future__ import annotations

import io
import shutil
from pathlib import Path
from typing import Any

from sqlalchemy import insert
from studio_rig import NOON, Workplace
from tiny_runs import TinyRun, shapes

from studio.database.tables import jobs
from studio.jobs.folder import JobFolder
from studio.jobs.inputs import ExportInput, TrainingInput
from studio.jobs.queue import Kind, State


def add_trained(work: Workplace, run: TinyRun, name: str = "Colours", state: State = State.DONE) -> str:
    """Public id of a training that has left this run."""
    values: dict[str, Any] = {
        "project_id": work.project_id, "kind": Kind.TRAINING.value, "name": name, "state": state.value,
        "input": TrainingInput().model_dump(mode="json"), "progress": {}, "created_at": NOON, "finished_at": NOON,
    }  # fmt: skip
    with work.rig.parts.database.writing() as connection:
        row = connection.execute(insert(jobs).values(**values).returning(jobs)).one()
    place = JobFolder(work.rig.parts.settings.jobs_folder, row.public_id)
    shutil.copytree(run.folder, place.run.folder)
    return str(row.public_id)


def prepare(work: Workplace, training: str, source: Path) -> None:
    """Lay a bundle that was exported from the same run where predictions look for it: an export takes seconds."""
    folder = JobFolder(work.rig.parts.settings.jobs_folder, training).folder / "predict"
    folder.mkdir()
    shutil.copyfile(source, folder / "best.onsight")


def shape_file(colour: str, seed: int) -> bytes:
    """A PNG that the tiny runs know something of."""
    stream = io.BytesIO()
    shapes((colour,), seed).save(stream, "PNG")
    return stream.getvalue()


def add_exported(work: Workplace, training: str, source: Path, name: str = "model", state: State = State.DONE) -> str:
    """Public id of an export of this training that has left this bundle."""
    wanted = ExportInput(training=training, name=name)
    values: dict[str, Any] = {
        "project_id": work.project_id, "kind": Kind.EXPORT.value, "name": "Colours", "state": state.value,
        "input": wanted.model_dump(mode="json"), "progress": {}, "created_at": NOON, "finished_at": NOON,
    }  # fmt: skip
    with work.rig.parts.database.writing() as connection:
        row = connection.execute(insert(jobs).values(**values).returning(jobs)).one()
    place = JobFolder(work.rig.parts.settings.jobs_folder, row.public_id)
    place.folder.mkdir(parents=True)
    shutil.copyfile(source, place.bundle_path(name))
    return str(row.public_id)
