"""How good a model is: its figures at any thresholds, its curves, and the thresholds that a person chooses."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field
from pydantic.json_schema import SkipJsonSchema

from bundle.manifest import MetricEstimate, Task
from server.openapi.describe import described
from studio.access import audit
from studio.access.guard import actor, principal, project, requires
from studio.access.privileges import Privilege
from studio.analysis.headlines import headline_of
from studio.analysis.measured import Measured, confusion, measure
from studio.analysis.scores import checked_thresholds
from studio.analysis.thresholds import Rule, chosen_thresholds, clicked_threshold, curve_of, drawn
from studio.context import context
from studio.database.paging import cut, decode_cursor, encode_cursor
from studio.jobs import queue
from studio.jobs.folder import JobFolder
from studio.jobs.listing import describe_jobs
from studio.labels.vocabulary import list_labels
from studio.predict.thresholds import save_thresholds, saved_thresholds
from studio.routes.groups import Group
from studio.routes.measured import (
    NOT_THERE,
    AtThresholds,
    ModelQuery,
    SplitQuery,
    asked_for,
    open_model,
    training_row,
)
from studio.routes.problems import BODY, PAGE
from studio.routes.routes import Routes
from studio.routes.wire import Moment, Out, PageQuery, PublicId, body, query, read_model, read_query
from trainer.data.split import Split
from trainer.statistics.document import ConfusionMatrix, SplitCalibration

models = Routes("models", __name__, url_prefix="/studio/v1/projects/<project>/models")

IN_MODEL = (*NOT_THERE, "SPLIT_NOT_FOUND", "VALUE_INVALID")
MODEL_EXAMPLE: Any = {
    "id": "t2Vq8LmRzKx", "name": "First try", "task": "single_label", "labels": 6, "split": "validation",
    "metrics": {"accuracy": {"value": 0.91, "low": 0.88, "high": 0.93}}, "image_count": 2527,
    "dataset": "d8Kw3NvYpQa", "user_name": "Ada", "finished_at": "2026-03-01T12:05:00Z", "state": "done",
}  # fmt: skip
MEASURED_EXAMPLE: Any = {
    "images": 2, "answered": 2, "thresholds": [0.0, 0.0], "metrics": {"accuracy": 1.0}, "averages": {}, "classes": [],
    "confusion": {"classes": 3, "cells": [[0, 0, 1], [1, 1, 1]]}, "intervals": {}, "own_thresholds": True,
}  # fmt: skip


class ListedModel(Out):
    id: PublicId
    name: str
    state: str
    task: Task
    labels: int = Field(description="how many it knows")
    split: Split = Field(description="of the figures: test images where there are any, else validation images")
    metrics: dict[str, MetricEstimate] = Field(description="headline figures of the best model, with their intervals")
    image_count: int | None = Field(description="it was made from, all splits together")
    dataset: PublicId | None
    user_name: str | None
    finished_at: Moment | None


class ModelPage(Out):
    models: list[ListedModel] = Field(description="the newest first; without trainings that have no model yet")
    next: str | None = Field(description="send it as `after`; null at the end")


class ModelLabel(Out):
    name: str
    label: PublicId | None = Field(description="the project's label of this name; null where it has none any more")
    colour: str | None


class ModelNote(Out):
    code: str
    message: str


class ModelFacts(Out):
    """A trained model."""

    id: PublicId
    name: str
    task: Task
    labels: list[ModelLabel] = Field(description="in the order of every list of thresholds and scores")
    splits: dict[str, int] = Field(description="images of each split that it was measured on")
    thresholds: list[float] = Field(description="in force: those that were saved, else the model's own")
    own_thresholds: list[float] = Field(description="as they were chosen at the end of the training")
    saved: bool = Field(description="whether a person saved others than the model's own")
    temperature: float = Field(description="of the calibration; scores are divided by it before probabilities")
    notes: list[ModelNote] = Field(description="what one must know about the figures")


class MeasuredSplit(Measured):
    confusion: ConfusionMatrix | None = Field(description="the last column is `no answer`; null for multi-label")
    intervals: dict[str, MetricEstimate] = Field(
        description="95 %, where the thresholds are the model's own; else empty"
    )
    own_thresholds: bool


class CurveQuery(SplitQuery):
    label: str | SkipJsonSchema[None] = Field(
        default=None, max_length=200, description="Of this label; without it, all labels' scores pooled."
    )
    points: int = Field(default=200, ge=2, le=2000, description="At most so many.")


class Curve(Out):
    """Points in order of rising recall."""

    recall: list[float]
    precision: list[float]
    threshold: list[float]
    average_precision: float


class Click(CurveQuery):
    """A body: where a person clicked."""

    recall: Annotated[float, Field(ge=0, le=1)]
    precision: Annotated[float, Field(ge=0, le=1)]


class ClickedThreshold(Out):
    threshold: float


class Wanted(AtThresholds):
    """A body: by which rule thresholds are to be chosen."""

    rule: Rule = Field(default="f1", description="the best F1, or the most recall at a precision of `target`")
    target: float | None = Field(default=None, gt=0, le=1, description="of the rule `precision`")


class ChosenThresholds(Out):
    thresholds: list[float]
    kept: list[str] = Field(description="labels that the rule gives none: they keep the one they had")


class SavedThresholds(ModelQuery):
    """A body."""

    thresholds: list[Annotated[float, Field(ge=0, le=1)]] | None = Field(
        description="one a label, in the model's order; null: back to the model's own", max_length=10_000
    )


@models.get("")
@requires(Privilege.VIEW)
@described(
    Group.MODELS, "Trained models", parameters=query(PageQuery), example={"models": [MODEL_EXAMPLE], "next": None},
    problems=PAGE,
)  # fmt: skip
def all_models(project: str) -> ModelPage:
    """With the headline figures of each; a page may be shorter than its limit."""
    asked, parts, here = read_query(PageQuery), context(), this_project()
    before = decode_cursor(asked.after, int)[0] if asked.after else None
    with parts.database.reading() as connection:
        rows = queue.list_jobs(
            connection, here.id, asked.limit + 1, before, kind=queue.Kind.TRAINING,
            states=(queue.State.DONE, queue.State.CANCELLED, queue.State.FAILED),
        )  # fmt: skip
        shown, last = cut(rows, asked.limit)
        told = describe_jobs(connection, shown, parts.settings.job_workers, parts.now())
    found = []
    for each in told:
        head = headline_of(JobFolder(parts.settings.jobs_folder, each.row.public_id).run)
        if head is not None:
            found.append(
                ListedModel(
                    id=each.row.public_id, name=each.row.name, state=each.row.state, task=head.task,
                    labels=head.labels, split=head.split, metrics=head.metrics, image_count=each.image_count,
                    dataset=each.dataset, user_name=each.user_name, finished_at=each.row.finished_at,
                )
            )  # fmt: skip
    return ModelPage(models=found, next=None if last is None else encode_cursor(last.id))


@models.get("/<id:job>")
@requires(Privilege.VIEW)
@described(
    Group.MODELS, "One model", parameters=query(ModelQuery), problems=("PARAMETER_INVALID", *NOT_THERE),
    example={
        "id": "t2Vq8LmRzKx", "name": "First try", "task": "multi_label", "splits": {"validation": 328},
        "labels": [{"name": "glass", "label": "q5Zc7NfGhJt", "colour": "#0072b2"}], "thresholds": [0.4],
        "own_thresholds": [0.5], "saved": True, "temperature": 1.1, "notes": [],
    },
)  # fmt: skip
def one(project: str, job: str) -> ModelFacts:
    """Its labels, images and thresholds."""
    return _facts(job, read_query(ModelQuery))


@models.put("/<id:job>/thresholds")
@requires(Privilege.TRAIN)
@described(
    Group.MODELS, "Save thresholds", body=body(SavedThresholds, {"thresholds": [0.4]}),
    problems=(*BODY, *NOT_THERE, "VALUE_INVALID"),
)  # fmt: skip
def keep(project: str, job: str) -> ModelFacts:
    """Predictions in the studio go by them from now on."""
    given, parts, row = read_model(SavedThresholds), context(), training_row(job)
    model = open_model(row, given.choice)
    if given.thresholds is not None:
        checked_thresholds(given.thresholds, model.labels)
    with parts.database.writing() as connection:
        save_thresholds(connection, row.id, given.choice, given.thresholds, principal().user_id, parts.now())
        audit.record(connection, actor(), "thresholds.saved", row.name, project_id=this_project().id)
    return _facts(job, given)


@models.post("/<id:job>/measure")
@requires(Privilege.VIEW)
@described(
    Group.MODELS, "Its figures", body=body(AtThresholds, {"split": "validation"}), example=MEASURED_EXAMPLE,
    problems=(*BODY, *IN_MODEL),
)  # fmt: skip
def figures(project: str, job: str) -> MeasuredSplit:
    """Of a split, at the thresholds that are given or in force. Changes nothing."""
    asked = read_model(AtThresholds)
    _, model, scored, thresholds = asked_for(job, asked)
    measured = measure(scored, thresholds)
    own = bool((thresholds == scored.default_thresholds).all())
    intervals = model.statistics.splits[asked.split.value].metrics if own else {}
    return MeasuredSplit(
        **dict(measured), confusion=confusion(scored, thresholds), intervals=intervals, own_thresholds=own
    )


@models.get("/<id:job>/calibration")
@requires(Privilege.VIEW)
@described(
    Group.MODELS, "Its calibration", parameters=query(SplitQuery),
    example={"before": {"expected_calibration_error": 0.05, "bins": []},
             "after": {"expected_calibration_error": 0.02, "bins": []}},
    problems=("PARAMETER_INVALID", *IN_MODEL),
)  # fmt: skip
def calibration(project: str, job: str) -> SplitCalibration:
    """How often answers of each confidence are right, before and after temperature scaling."""
    asked = read_query(SplitQuery)
    model = open_model(training_row(job), asked.choice)
    model.scored(asked.split)
    return model.statistics.splits[asked.split.value].calibration


@models.get("/<id:job>/curve")
@requires(Privilege.VIEW)
@described(
    Group.MODELS, "A precision-recall curve", parameters=query(CurveQuery),
    example={"recall": [0.5, 1.0], "precision": [1.0, 0.8], "threshold": [0.9, 0.3], "average_precision": 0.9},
    problems=("PARAMETER_INVALID", *IN_MODEL, "LABEL_NOT_FOUND", "NO_CURVE"),
)  # fmt: skip
def curve(project: str, job: str) -> Curve:
    """Of a label, or of all pooled."""
    asked = read_query(CurveQuery)
    whole = curve_of(open_model(training_row(job), asked.choice).scored(asked.split), asked.label)
    shown = drawn(whole, asked.points)
    return Curve(
        recall=shown.recall.round(6).tolist(), precision=shown.precision.round(6).tolist(),
        threshold=shown.threshold.round(7).tolist(), average_precision=whole.average_precision,
    )  # fmt: skip


@models.post("/<id:job>/curve/click")
@requires(Privilege.VIEW)
@described(
    Group.MODELS, "The threshold at a point of a curve", body=body(Click, {"recall": 0.8, "precision": 0.9}),
    example={"threshold": 0.42}, problems=(*BODY, *IN_MODEL, "LABEL_NOT_FOUND", "NO_CURVE"),
)  # fmt: skip
def click(project: str, job: str) -> ClickedThreshold:
    """Of the whole curve's point that is nearest."""
    asked = read_model(Click)
    whole = curve_of(open_model(training_row(job), asked.choice).scored(asked.split), asked.label)
    return ClickedThreshold(threshold=clicked_threshold(whole, asked.recall, asked.precision))


@models.post("/<id:job>/thresholds/choose")
@requires(Privilege.VIEW)
@described(
    Group.MODELS, "Choose thresholds by a rule", body=body(Wanted, {"rule": "precision", "target": 0.95}),
    example={"thresholds": [0.42], "kept": []}, problems=(*BODY, *IN_MODEL),
)  # fmt: skip
def choose(project: str, job: str) -> ChosenThresholds:
    """One a label. Saves nothing."""
    asked = read_model(Wanted)
    _, _, scored, before = asked_for(job, asked)
    values, kept = chosen_thresholds(scored, asked.rule, asked.target, before)
    return ChosenThresholds(thresholds=[float(f"{value:.7g}") for value in values.tolist()], kept=list(kept))


this_project = project  # views have an argument of the name, as their addresses do


def _facts(job: str, asked: ModelQuery) -> ModelFacts:
    row, parts = training_row(job), context()
    model = open_model(row, asked.choice)
    told = model.statistics
    with parts.database.reading() as connection:
        saved = saved_thresholds(connection, row.id, asked.choice, told.labels)
        own_labels = {label.name: label for label in list_labels(connection, row.project_id)}
    named = [(name, own_labels.get(name)) for name in told.labels]
    return ModelFacts(
        id=row.public_id, name=row.name, task=told.task,
        labels=[
            ModelLabel(name=name, label=own and own.public_id, colour=own and own.colour) for name, own in named
        ],
        splits={name: split.images for name, split in told.splits.items()},
        thresholds=list(saved or told.thresholds.values), own_thresholds=list(told.thresholds.values),
        saved=saved is not None, temperature=told.calibration.temperature,
        notes=[ModelNote(code=note.code, message=note.message) for note in told.notes],
    )  # fmt: skip
