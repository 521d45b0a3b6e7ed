"""A training that has a model: its row, and what its run folder says of labels and thresholds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, select

from bundle.manifest import Task
from studio.database.tables import model_thresholds
from studio.errors import Conflict
from studio.jobs.folder import JobFolder
from studio.jobs.inputs import ExportInput
from studio.jobs.queue import Kind, find_job
from studio.predict.thresholds import saved_thresholds
from trainer.errors import RunError
from trainer.run_folder import ModelChoice
from trainer.statistics import Statistics, models_from_json

CHOICES: Final[tuple[ModelChoice, ...]] = ("best", "last")


@dataclass(frozen=True, slots=True)
class Trained:
    """row: of the job.  statistics: of each of its models.  saved: thresholds that a person chose, one a label."""

    row: Any
    statistics: dict[ModelChoice, Statistics]
    saved: dict[ModelChoice, tuple[float, ...] | None]

    @property
    def task(self) -> Task:
        return self.statistics["best"].task

    def thresholds(self, choice: ModelChoice) -> dict[str, float]:
        """Label -> what holds now, in the model's order."""
        statistics = self.statistics[choice]
        values = self.saved[choice] or statistics.thresholds.values
        return dict(zip(statistics.labels, values, strict=True))


def with_saved_thresholds(
    connection: Connection, jobs_folder: Path, project_id: int, wanted: ExportInput
) -> ExportInput:
    """What is to be exported, with the thresholds that were saved for the model, so that it answers elsewhere as here.

    Raises as `find_trained` does.
    """
    row = find_job(connection, project_id, wanted.training)
    own = (model_thresholds.c.training_id == row.id) & (model_thresholds.c.choice == wanted.model)
    is_saved = connection.scalar(select(model_thresholds.c.training_id).where(own)) is not None
    if wanted.thresholds is not None or not is_saved:
        return wanted
    trained = find_trained(connection, jobs_folder, project_id, wanted.training)
    if trained.saved.get(wanted.model) is None:
        return wanted
    return wanted.model_copy(update={"thresholds": trained.thresholds(wanted.model)})


def find_trained(connection: Connection, jobs_folder: Path, project_id: int, public_id: str) -> Trained:
    """Raises NotFound for no such job, Conflict where it has no model."""
    row = find_job(connection, project_id, public_id)
    run = JobFolder(jobs_folder, public_id).run
    if row.kind != Kind.TRAINING or not run.trained:
        raise Conflict("This is no training that has ended with a model.", "NOT_TRAINED")
    try:
        found = models_from_json(run.require_text(run.statistics_path))
        statistics = {choice: found[choice] for choice in CHOICES if run.weights_path(choice).is_file()}
    except (RunError, ValueError, KeyError) as error:
        raise Conflict("This model has no statistics yet, or its files are damaged.", "NOT_MEASURED") from error
    saved = {choice: saved_thresholds(connection, row.id, choice, one.labels) for choice, one in statistics.items()}
    return Trained(row, statistics, saved)
