"""Trainings and exports of a project: queue them, watch them, stop them, let them go on."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from flask import Response
from pydantic import Field
from pydantic.json_schema import SkipJsonSchema

from server.openapi.describe import TEXT, Answer, Content, described
from studio.access import audit
from studio.access.guard import actor, principal, project, requires, signed_in
from studio.access.privileges import Privilege
from studio.context import context
from studio.database.paging import cut, decode_cursor, encode_cursor
from studio.jobs import queue
from studio.jobs.curves import curves_of
from studio.jobs.folder import JobFolder
from studio.jobs.inputs import ExportInput, TrainingInput
from studio.jobs.listing import DescribedJob, describe_jobs, whole_queue
from studio.predict.trained import with_saved_thresholds
from studio.routes.groups import Group
from studio.routes.problems import BODY, PAGE
from studio.routes.routes import Routes
from studio.routes.wire import (
    DONE,
    Moment,
    Out,
    PageQuery,
    PublicId,
    body,
    created,
    query,
    read_model,
    read_query,
)

jobs = Routes("jobs", __name__, url_prefix="/studio/v1")

_IN_PROJECT = "/projects/<project>"
_MOST_LOG_BYTES = 200_000
Kind = Literal["training", "export"]
State = Literal["queued", "claimed", "running", "done", "failed", "cancelled"]
JOB_EXAMPLE: Any = {
    "id": "t2Vq8LmRzKx", "kind": "training", "name": "First try", "state": "running", "place": 0, "starts_in_s": 0.0,
    "takes_s": 41.5, "progress": {"stage": "head", "done": 12, "total": 60, "eta_s": 41.5, "epoch": 12},
    "message": None, "created_at": "2026-03-01T12:00:00Z", "started_at": "2026-03-01T12:00:01Z", "finished_at": None,
    "user_name": "Ada", "dataset": "d8Kw3NvYpQa", "image_count": 2527, "training": {"minutes": 1.0}, "export": None,
}  # fmt: skip


class JobsQuery(PageQuery):
    kind: Kind | SkipJsonSchema[None] = Field(default=None, description="Of this kind alone.")
    state: Annotated[list[State], Field(max_length=6)] = Field(default=[], description="In one of these states.")


class Progress(Out):
    """As far as it is known; a stage that counts nothing has no `total`."""

    stage: str | None = Field(default=None, description="what it is at")
    done: int | None = None
    total: int | None = None
    eta_s: float | None = Field(default=None, description="seconds until its end, by what it took so far")
    epoch: int | None = None
    planned_epochs: int | None = None
    train_loss: float | None = None
    validation_loss: float | None = None
    train_accuracy: float | None = None
    validation_accuracy: float | None = None
    best_epoch: int | None = None
    best_validation_loss: float | None = None
    message: str | None = Field(default=None, description="the last thing that it said")


class Job(Out):
    id: PublicId
    kind: Kind
    name: str
    state: State = Field(description="`claimed`: a worker lays its files out")
    place: int | None = Field(
        description="in the queue of the install: 0 while it runs, 1 for the next; null at its end"
    )
    starts_in_s: float | None = Field(description="seconds, at most, until it starts")
    takes_s: float | None = Field(description="seconds, at most, that it takes from now on, or once it has started")
    progress: Progress
    message: str | None = Field(description="why it failed")
    created_at: Moment
    started_at: Moment | None
    finished_at: Moment | None
    user_name: str | None = Field(description="who queued it")
    dataset: PublicId | None = Field(description="the version of the images and labels that it learns; of trainings")
    image_count: int | None = Field(description="of that version")
    training: TrainingInput | None
    export: ExportInput | None


class JobPage(Out):
    jobs: list[Job] = Field(description="the newest first")
    next: str | None = Field(description="send it as `after`; null at the end")


class Waiting(Out):
    """id, name, project: null where the project is none of one's own."""

    id: PublicId | None
    name: str | None
    project: PublicId | None
    project_name: str | None
    kind: Kind
    state: State
    place: int
    starts_in_s: float
    takes_s: float


class Queue(Out):
    jobs: list[Waiting] = Field(description="what runs, then what waits, in order")


class Epoch(Out):
    epoch: int = Field(description="counted through all stages, from 1")
    stage: str
    at_s: float = Field(description="seconds since the training began")
    train_loss: float | None
    validation_loss: float | None
    train_accuracy: float | None
    validation_accuracy: float | None
    learning_rate: float | None
    best: bool = Field(description="whether it was better than all before it")


class Curves(Out):
    epochs: list[Epoch]
    best_epoch: int | None = Field(description="of the model that is kept as the best")


@jobs.get(f"{_IN_PROJECT}/jobs")
@requires(Privilege.VIEW)
@described(
    Group.JOBS, "Trainings and exports", parameters=query(JobsQuery), example={"jobs": [JOB_EXAMPLE], "next": None},
    problems=PAGE,
)  # fmt: skip
def of_project(project: str) -> JobPage:
    """The newest first."""
    asked, here = read_query(JobsQuery), this_project()
    before = decode_cursor(asked.after, int)[0] if asked.after else None
    with context().database.reading() as connection:
        rows = queue.list_jobs(
            connection, here.id, asked.limit + 1, before, kind=asked.kind, states=asked.state
        )  # fmt: skip
        shown, last = cut(rows, asked.limit)
        told = describe_jobs(connection, shown, context().settings.job_workers, context().now())
    return JobPage(jobs=[_job(each) for each in told], next=None if last is None else encode_cursor(last.id))


@jobs.get(f"{_IN_PROJECT}/jobs/<id:job>")
@requires(Privilege.VIEW)
@described(Group.JOBS, "One training or export", example=JOB_EXAMPLE, problems=("JOB_NOT_FOUND",))
def one(project: str, job: str) -> Job:
    """How far it is, and where it stands in the queue."""
    return told_job(job)


@jobs.post(f"{_IN_PROJECT}/exports")
@requires(Privilege.DOWNLOAD)
@described(
    Group.JOBS, "Export a model", body=body(ExportInput, {"training": "t2Vq8LmRzKx", "name": "trash"}),
    answers=created(Job, "The job.", {**JOB_EXAMPLE, "kind": "export"}),
    problems=(*BODY, "JOB_NOT_FOUND", "NOT_TRAINED", "NOT_MEASURED"),
)  # fmt: skip
def export(project: str) -> tuple[Job, int]:
    """Make a signed bundle of it, proven against the trained model."""
    given, parts, here = read_model(ExportInput), context(), this_project()
    with parts.database.writing() as connection:
        wanted = with_saved_thresholds(connection, parts.settings.jobs_folder, here.id, given)
        row = queue.add_export(connection, here.id, principal().user_id, wanted, parts.now())
        audit.record(connection, actor(), "export.queued", row.name, project_id=here.id)
    return told_job(row.public_id), 201


@jobs.post(f"{_IN_PROJECT}/jobs/<id:job>/cancel")
@requires(Privilege.TRAIN)
@described(Group.JOBS, "Cancel", example=JOB_EXAMPLE, problems=("JOB_NOT_FOUND", "JOB_ENDED"))
def cancel(project: str, job: str) -> Job:
    """What waits ends at once; what runs is asked to keep what it has, and ends a little later."""
    parts, here = context(), this_project()
    with parts.database.writing() as connection:
        queue.request_cancel(connection, queue.find_job(connection, here.id, job).id, parts.now())
    return told_job(job)


@jobs.post(f"{_IN_PROJECT}/jobs/<id:job>/resume")
@requires(Privilege.TRAIN)
@described(Group.JOBS, "Let it go on", example=JOB_EXAMPLE, problems=("JOB_NOT_FOUND", "JOB_NOT_ENDED"))
def resume(project: str, job: str) -> Job:
    """A failed or cancelled job goes on where it stopped, at its old place in the queue."""
    parts, here = context(), this_project()
    with parts.database.writing() as connection:
        queue.resume(connection, queue.find_job(connection, here.id, job).id)
    return told_job(job)


@jobs.delete(f"{_IN_PROJECT}/jobs/<id:job>")
@requires(Privilege.TRAIN)
@described(Group.JOBS, "Delete", answers=DONE, problems=("JOB_NOT_FOUND", "JOB_RUNNING"))
def remove(project: str, job: str) -> Response:
    """With its model or its bundle. Exports of a training stay."""
    parts, here = context(), this_project()
    with parts.database.writing() as connection:
        row = queue.find_job(connection, here.id, job)
        queue.delete_job(connection, row.id)
        audit.record(connection, actor(), f"{row.kind}.deleted", row.name, project_id=here.id)
    JobFolder(parts.settings.jobs_folder, job).remove()  # a worker's sweep takes what a crash here leaves
    return Response(status=204)


@jobs.get(f"{_IN_PROJECT}/jobs/<id:job>/log")
@requires(Privilege.VIEW)
@described(
    Group.JOBS, "What it printed", answers={200: Answer("The end of its log.", (Content("text/plain", TEXT),))},
    problems=("JOB_NOT_FOUND",),
)  # fmt: skip
def log_of(project: str, job: str) -> Response:
    """The last 200 kB; without this machine's folders."""
    row = _row(job)
    text = JobFolder(context().settings.jobs_folder, row.public_id).log_tail(_MOST_LOG_BYTES)
    return Response(text, content_type="text/plain; charset=utf-8")


@jobs.get(f"{_IN_PROJECT}/jobs/<id:job>/curves")
@requires(Privilege.VIEW)
@described(
    Group.JOBS, "Learning curves",
    example={"epochs": [{"epoch": 1, "stage": "head", "at_s": 3.1, "train_loss": 1.2, "validation_loss": 1.3,
                         "train_accuracy": 0.5, "validation_accuracy": 0.4, "learning_rate": 0.001, "best": True}],
             "best_epoch": 1},
    problems=("JOB_NOT_FOUND",),
)  # fmt: skip
def curves(project: str, job: str) -> Curves:
    """One row an epoch, also while it trains; none of an export."""
    run = JobFolder(context().settings.jobs_folder, _row(job).public_id).run
    rows, best = curves_of(run)
    return Curves(epochs=[Epoch.model_validate(row) for row in rows], best_epoch=best)


@jobs.get("/queue")
@signed_in
@described(
    Group.JOBS, "The queue of the install",
    example={"jobs": [{"id": "t2Vq8LmRzKx", "name": "First try", "project": "p3Wn8rTyKea", "project_name": "Trash",
                       "kind": "training", "state": "running", "place": 0, "starts_in_s": 0.0, "takes_s": 41.5}]},
)  # fmt: skip
def everybodys() -> Queue:
    """All that runs or waits; of projects that are none of one's own there are times alone."""
    parts = context()
    with parts.database.reading() as connection:
        rows = whole_queue(connection, principal(), parts.settings.job_workers, parts.now())
    return Queue(jobs=[Waiting.model_validate(row, from_attributes=True) for row in rows])


this_project = project  # views have an argument of the name, as their addresses do


def _row(job: str) -> Any:
    with context().database.reading() as connection:
        return queue.find_job(connection, this_project().id, job)


def told_job(job: str) -> Job:
    """Of the current project."""
    parts = context()
    with parts.database.reading() as connection:
        row = queue.find_job(connection, this_project().id, job)
        (told,) = describe_jobs(connection, [row], parts.settings.job_workers, parts.now())
    return _job(told)


def _job(told: DescribedJob) -> Job:
    row, estimate = told.row, told.estimate
    is_training = row.kind == queue.Kind.TRAINING
    return Job(
        id=row.public_id, kind=row.kind, name=row.name, state=row.state,
        place=None if estimate is None else estimate.place,
        starts_in_s=None if estimate is None else round(estimate.starts_in_s, 1),
        takes_s=None if estimate is None else round(estimate.takes_s, 1),
        progress=Progress.model_validate(row.progress), message=row.message,
        created_at=row.created_at, started_at=row.started_at, finished_at=row.finished_at,
        user_name=told.user_name, dataset=told.dataset, image_count=told.image_count,
        training=TrainingInput.model_validate(row.input) if is_training else None,
        export=None if is_training else ExportInput.model_validate(row.input),
    )  # fmt: skip
