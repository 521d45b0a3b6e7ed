"""Which model a call means, and at which thresholds: shared by the calls that look at how good it is."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from sqlalchemy import Row

from studio.access.guard import project
from studio.analysis.scores import Model, Scored
from studio.context import context
from studio.errors import Conflict
from studio.jobs.folder import JobFolder
from studio.jobs.queue import Kind, find_job
from studio.predict.thresholds import saved_thresholds
from studio.routes.wire import In
from trainer.data.split import Split
from trainer.run_folder import ModelChoice

NOT_THERE = ("JOB_NOT_FOUND", "NOT_TRAINED", "NOT_MEASURED")


class ModelQuery(In):
    choice: ModelChoice = Field(default="best", description="The best model of the training, or its last.")


class SplitQuery(ModelQuery):
    split: Split = Field(default=Split.VALIDATION, description="Of which images.")


class AtThresholds(SplitQuery):
    """A body. thresholds: one a label in the model's order; absent: those that were saved, else the model's own."""

    thresholds: list[float] | None = Field(default=None, max_length=10_000)


def training_row(job: str) -> Row[Any]:
    """Raises NotFound, and Conflict for an export."""
    with context().database.reading() as connection:
        row = find_job(connection, project().id, job)
    if row.kind != Kind.TRAINING:
        raise Conflict("This is an export, not a training.", "NOT_TRAINED")
    return row


def open_model(row: Row[Any], choice: ModelChoice) -> Model:
    """Raises Conflict where it has not been measured."""
    parts = context()
    return parts.measured.open(JobFolder(parts.settings.jobs_folder, row.public_id).run.folder, choice)


def thresholds_in_force(row: Row[Any], choice: ModelChoice, scored: Scored) -> NDArray[np.float32]:
    """(C,) those that a person saved, else the model's own."""
    with context().database.reading() as connection:
        saved = saved_thresholds(connection, row.id, choice, scored.labels)
    return scored.thresholds(saved)


def asked_for(job: str, asked: AtThresholds) -> tuple[Row[Any], Model, Scored, NDArray[np.float32]]:
    """The training, its model, the split and the thresholds (C,) of a call. Raises as the parts do."""
    row = training_row(job)
    model = open_model(row, asked.choice)
    scored = model.scored(asked.split)
    if asked.thresholds is None:
        return row, model, scored, thresholds_in_force(row, asked.choice, scored)
    return row, model, scored, scored.thresholds(asked.thresholds)


def image_of(path: str) -> str:
    """The public id of the image that lies under this name in a job's folder (`studio.jobs.folder`)."""
    return path.partition(".")[0]
