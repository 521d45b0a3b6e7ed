"""Queue trainings: one, or one for each of several labels; and what one would do, before it is queued."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from bundle.home import OnsightHome
from bundle.manifest import Task
from server.openapi.describe import described
from studio.access import audit
from studio.access.guard import actor, principal, project, requires
from studio.access.privileges import Privilege
from studio.context import context
from studio.jobs import queue
from studio.jobs.backbones import Backbone, backbones_of
from studio.jobs.inputs import TrainingInput
from studio.jobs.readout import ReadOut, read_out
from studio.projects.store import lock_project
from studio.routes.groups import Group
from studio.routes.jobs import JOB_EXAMPLE, Job, told_job
from studio.routes.problems import BODY
from studio.routes.routes import Routes
from studio.routes.wire import In, Name, Out, body, created, read_model

trainings = Routes("trainings", __name__, url_prefix="/studio/v1/projects/<project>")

LabelName = Annotated[str, Field(min_length=1, max_length=200)]
UNTRAINABLE = ("DATASET_EMPTY", "NOT_FOUND", "JOB_NOT_FOUND", "NOT_TRAINED")
READ_OUT_EXAMPLE: Any = {
    "task": "single_label", "images": 2527, "left_out": 0, "labels": [{"label": "glass", "images": 501}],
    "train": 2022, "validation": 505, "test": 0, "reading_s": 42.1, "images_a_second": 60.0, "measured": False,
    "stages": [{"name": "training the head", "steps": 640, "epochs_at_most": 40, "batch_size": 128}], "warnings": [],
}  # fmt: skip


class NewTraining(In):
    name: Name
    training: TrainingInput = TrainingInput()


class OneClassTrainings(In):
    """One model a label: it tells images with the label from all others."""

    name: Name = Field(description="of all; each gets its label's name behind it")
    labels: Annotated[list[LabelName], Field(min_length=1, max_length=200)]
    training: TrainingInput = Field(default=TrainingInput(), description="of all; its labels and task are not heeded")


class QueuedJobs(Out):
    jobs: list[Job]


class Backbones(Out):
    backbones: list[Backbone] = Field(description="the first is what a training takes unless told otherwise")


@trainings.post("/trainings")
@requires(Privilege.TRAIN)
@described(
    Group.JOBS, "Train a model", body=body(NewTraining, {"name": "First try", "training": {"minutes": 1}}),
    answers=created(Job, "The job.", JOB_EXAMPLE), problems=(*BODY, *UNTRAINABLE),
)  # fmt: skip
def train(project: str) -> tuple[Job, int]:
    """On the images and labels as they are now: what is changed later does not reach it."""
    given = read_model(NewTraining)
    (row,) = _queue([(given.name, given.training)])
    return told_job(row.public_id), 201


@trainings.post("/trainings/one-class")
@requires(Privilege.TRAIN)
@described(
    Group.JOBS, "Train one model a label", body=body(OneClassTrainings, {"name": "Bins", "labels": ["glass"]}),
    answers=created(QueuedJobs, "The jobs, in the order of the labels.", {"jobs": [JOB_EXAMPLE]}),
    problems=(*BODY, *UNTRAINABLE),
)  # fmt: skip
def train_each(project: str) -> tuple[QueuedJobs, int]:
    """Images without the label are the background. All are queued, or none."""
    given = read_model(OneClassTrainings)
    alone = {"unlabelled_as_negative": True, "task": Task.MULTI_LABEL}
    rows = _queue(
        [
            (f"{given.name}: {label}"[:200], given.training.model_copy(update={"labels": (label,), **alone}))
            for label in dict.fromkeys(given.labels)
        ]
    )
    return QueuedJobs(jobs=[told_job(row.public_id) for row in rows]), 201


@trainings.post("/trainings/read-out")
@requires(Privilege.VIEW)
@described(
    Group.JOBS, "What a training would do", body=body(TrainingInput, {"minutes": 1}), example=READ_OUT_EXAMPLE,
    problems=(*BODY, "NOT_FOUND"),
)  # fmt: skip
def foretell(project: str) -> ReadOut:
    """Images, splits, steps, times and warnings. Queues nothing."""
    given, parts = read_model(TrainingInput), context()
    with parts.database.reading() as connection:
        return read_out(connection, this_project().id, given, parts.settings.jobs_folder)


@trainings.get("/backbones")
@requires(Privilege.VIEW)
@described(
    Group.JOBS, "Networks to learn from",
    example={"backbones": [{"name": "onsight-small", "built_in": True, "size_bytes": 10315422}]},
)  # fmt: skip
def networks(project: str) -> Backbones:
    """The one that comes with Onsight, and those that `onsight backbones add` put into this install."""
    return Backbones(backbones=backbones_of(OnsightHome(context().settings.home).backbones_dir))


this_project = project  # views have an argument of the name, as their addresses do


def _queue(wanted: list[tuple[str, TrainingInput]]) -> list[Any]:
    """All, or none."""
    parts, here = context(), this_project()
    rows = []
    with parts.database.writing() as connection:
        lock_project(connection, here.id)  # two at once would both keep the same version of the data set
        for name, training in wanted:
            rows.append(queue.add_training(connection, here.id, principal().user_id, name, training, parts.now()))
            audit.record(connection, actor(), "training.queued", name, project_id=here.id)
    return rows
