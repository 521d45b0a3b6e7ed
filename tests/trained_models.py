"""Trainings and exports that have ended, laid where a worker leaves them: a tiny run of the session, its bundle."""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import insert, select
from tiny_runs import TinyRun, shapes

from studio.context import utc_now
from studio.database.engine import Database
from studio.database.tables import jobs, projects
from studio.jobs.folder import JobFolder
from studio.jobs.inputs import ExportInput, TrainingInput
from studio.jobs.queue import Kind, State

if TYPE_CHECKING:
    from running_studio import RunningStudio
    from studio_rig import Workplace


@dataclass(frozen=True)
class Shelf:
    """A project's jobs. project_id: internal."""

    database: Database
    jobs_folder: Path
    project_id: int

    def add_trained(self, run: TinyRun, name: str = "Colours", state: State = State.DONE) -> str:
        """Public id of a training that has left this run."""
        job = self._add(Kind.TRAINING, TrainingInput(), name, state)
        shutil.copytree(run.folder, JobFolder(self.jobs_folder, job).run.folder)
        return job

    def add_exported(self, training: str, source: Path, name: str = "model", state: State = State.DONE) -> str:
        """Public id of an export of this training that has left this bundle."""
        job = self._add(Kind.EXPORT, ExportInput(training=training, name=name), "Colours", state)
        place = JobFolder(self.jobs_folder, job)
        place.folder.mkdir(parents=True)
        shutil.copyfile(source, place.bundle_path(name))
        return job

    def prepare(self, training: str, source: Path) -> None:
        """Lay a bundle that was exported from the same run where predictions look for it: an export takes seconds."""
        folder = JobFolder(self.jobs_folder, training).folder / "predict"
        folder.mkdir()
        shutil.copyfile(source, folder / "best.onsight")

    def _add(self, kind: Kind, wanted: TrainingInput | ExportInput, name: str, state: State) -> str:
        values: dict[str, Any] = {
            "project_id": self.project_id, "kind": kind.value, "name": name, "state": state.value,
            "input": wanted.model_dump(mode="json"), "progress": {}, "created_at": utc_now(),
            "finished_at": utc_now(),
        }  # fmt: skip
        with self.database.writing() as connection:
            return str(connection.execute(insert(jobs).values(**values).returning(jobs.c.public_id)).scalar_one())


def shelf_of(work: Workplace) -> Shelf:
    parts = work.rig.parts
    return Shelf(parts.database, parts.settings.jobs_folder, work.project_id)


@contextmanager
def shelf_in(studio: RunningStudio, project: str) -> Iterator[Shelf]:
    """Of a project in a studio that runs on SQLite. project: public id."""
    folder = studio.home / "studio"
    database = Database(f"sqlite:///{folder / 'studio.sqlite3'}")
    try:
        with database.reading() as connection:
            project_id = connection.execute(
                select(projects.c.id).where(projects.c.public_id == project)
            ).scalar_one()  # fmt: skip
        yield Shelf(database, folder / "jobs", project_id)
    finally:
        database.close()


def shape_file(colour: str, seed: int) -> bytes:
    """A PNG that the tiny runs know something of."""
    stream = io.BytesIO()
    shapes((colour,), seed).save(stream, "PNG")
    return stream.getvalue()
