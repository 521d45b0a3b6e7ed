"""What a model said of the images of its training: browsed, taken along, doubted, compared with another model's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Any

from flask import Response
from pydantic import Field
from sqlalchemy import select

from server.openapi.describe import TEXT, Answer, Content, described
from studio.access.guard import project, requires
from studio.access.privileges import Privilege
from studio.analysis.browser import Filter, Order, Show, csv_lines, page
from studio.analysis.compare import compare
from studio.analysis.label_issues import UNSEEN, label_issues
from studio.analysis.take_along import zip_parts
from studio.context import context
from studio.database.tables import images
from studio.labels.standing import still_standing
from studio.predict.thresholds import saved_thresholds
from studio.routes.groups import Group
from studio.routes.measured import (
    NOT_THERE,
    AtThresholds,
    ModelQuery,
    SplitQuery,
    asked_for,
    image_of,
    open_model,
    training_row,
)
from studio.routes.problems import BODY
from studio.routes.routes import Routes
from studio.routes.wire import Out, PublicId, body, query, read_model, read_query
from trainer.data.split import Split
from trainer.run_folder import ModelChoice
from trainer.statistics.document import ImagePrediction, LabelProbability

recorded = Routes("recorded", __name__, url_prefix="/studio/v1/projects/<project>/models")

IN_SPLIT = (*NOT_THERE, "SPLIT_NOT_FOUND", "VALUE_INVALID")
LabelName = Annotated[str, Field(max_length=200)]
SEEN_EXAMPLE: Any = {
    "image": "m9Ls2VbXuRd", "name": "glass/1.jpg", "loss": 0.12, "correct": True,
    "truth": [{"label": "glass", "probability": 0.9}], "decided": [{"label": "glass", "probability": 0.9}],
    "top": [{"label": "glass", "probability": 0.9}],
}  # fmt: skip


class PredictionsQuestion(AtThresholds):
    """A body. All that is given must hold."""

    show: Show = Field(default=Show.ALL, description="`above` and `below`: whether a threshold is reached")
    label: LabelName | None = Field(default=None, description="`show` and `order` mean this label alone")
    truth: LabelName | None = Field(default=None, description="only images that carry this label")
    predicted: LabelName | None = Field(default=None, description="only images that got this label")
    unanswered: bool = Field(default=False, description="only images that got no label")
    order: Order = Field(default=Order.WORST, description="by cross-entropy, by probability, or as in the data set")
    limit: int = Field(default=100, ge=1, le=1000)
    after: str | None = Field(default=None, max_length=1000, description="the `next` of the page before")


class Seen(Out):
    """An image, what is true of it, and what the model said."""

    image: PublicId
    name: str | None = Field(description="null where the project has the image no more")
    loss: float = Field(description="cross-entropy in nats")
    correct: bool
    truth: list[LabelProbability]
    decided: list[LabelProbability]
    top: list[LabelProbability] = Field(description="the five most probable labels")


class SeenPage(Out):
    predictions: list[Seen]
    count: int = Field(description="of all images that fit")
    next: str | None = Field(description="send it as `after`; null at the end")


class IssuesQuery(ModelQuery):
    training_images: bool = Field(
        default=False, description="Suspect training images too; of those the model has learnt the labels by heart."
    )
    limit: int = Field(default=200, ge=1, le=1000, description="At most so many, the likeliest first.")


class Issue(Out):
    image: PublicId
    name: str | None
    split: Split
    add: str | None = Field(description="label that is missing, by its name")
    remove: str | None = Field(description="label that is there and should not be")
    margin: float = Field(description="probability of what is suspected less that of what is given, -1 to 1")


class Issues(Out):
    issues: list[Issue]
    count: int = Field(description="of all that are suspected")


class ComparisonQuery(SplitQuery):
    other: PublicId = Field(description="Another training of the project.")
    other_choice: ModelChoice = Field(default="best", description="Its best model, or its last.")


class Compared(Out):
    """On the images of the first model's split that both know, each at the thresholds in force for it."""

    images: int
    learnt_by_other: int = Field(description="of them, that the other was trained on: it knows the answer")
    this_correct: int
    other_correct: int
    both_correct: int
    neither_correct: int
    p_value: float = Field(description="of a difference as large by chance: McNemar's exact test, two-sided")
    only_this: list[PublicId] = Field(description="images that this model alone is right about; 500 at most")
    only_other: list[PublicId]


@recorded.post("/<id:job>/predictions")
@requires(Privilege.VIEW)
@described(
    Group.MODELS, "Predictions of its images", body=body(PredictionsQuestion, {"show": "incorrect"}),
    example={"predictions": [SEEN_EXAMPLE], "count": 1, "next": None},
    problems=(*BODY, *IN_SPLIT, "LABEL_NOT_FOUND", "CURSOR_INVALID"),
)  # fmt: skip
def predictions(project: str, job: str) -> SeenPage:
    """Of a split, filtered and sorted. Changes nothing."""
    asked = read_model(PredictionsQuestion)
    _, _, scored, thresholds = asked_for(job, asked)
    wanted = Filter(asked.show, asked.label, asked.truth, asked.predicted, asked.unanswered)
    found = page(scored, thresholds, wanted, asked.order, asked.limit, asked.after)
    names = _names([image_of(each.image_id) for each in found.predictions])
    return SeenPage(
        predictions=[_seen(each, names) for each in found.predictions], count=found.count, next=found.next
    )  # fmt: skip


@recorded.get("/<id:job>/predictions.csv")
@requires(Privilege.VIEW)
@described(
    Group.MODELS, "Predictions as a table", parameters=query(SplitQuery),
    answers={200: Answer("A line an image.", (Content("text/csv", TEXT),))},
    problems=("PARAMETER_INVALID", *IN_SPLIT),
)  # fmt: skip
def table(project: str, job: str) -> Response:
    """At the thresholds in force: file, split, truth, prediction, loss, and every label's probability."""
    asked = read_query(SplitQuery)
    row, _, scored, thresholds = asked_for(job, AtThresholds(choice=asked.choice, split=asked.split))
    return _attachment(
        (line.encode() for line in csv_lines(scored, asked.split.value, thresholds)),
        f"{row.public_id}-{asked.split.value}.csv", "text/csv; charset=utf-8",
    )  # fmt: skip


@recorded.get("/<id:job>/predictions.zip")
@requires(Privilege.VIEW)
@described(
    Group.MODELS, "Predictions with small images", parameters=query(SplitQuery),
    answers={200: Answer("predictions.csv, and an image each in `truth/prediction/`.",
                         (Content("application/zip", {"type": "string", "format": "binary"}),))},
    problems=("PARAMETER_INVALID", *IN_SPLIT),
)  # fmt: skip
def archive(project: str, job: str) -> Response:
    """At the thresholds in force; images of at most 256 pixels, without those that were removed since."""
    asked, parts, here = read_query(SplitQuery), context(), this_project()
    row, _, scored, thresholds = asked_for(job, AtThresholds(choice=asked.choice, split=asked.split))
    with parts.database.reading() as connection:
        own = select(images.c.public_id, images.c.sha256).where(images.c.project_id == here.id)
        digests = {image.public_id: image.sha256 for image in connection.execute(own)}
    lines = csv_lines(scored, asked.split.value, thresholds)
    files = ((path, digests.get(image_of(path))) for path in scored.paths)
    return _attachment(
        zip_parts(lines, scored, thresholds, files, parts.thumbnails.read),
        f"{row.public_id}-{asked.split.value}.zip", "application/zip",
    )  # fmt: skip


@recorded.get("/<id:job>/label-issues")
@requires(Privilege.VIEW)
@described(
    Group.MODELS, "Labels that are likely wrong", parameters=query(IssuesQuery),
    example={"issues": [{"image": "m9Ls2VbXuRd", "name": "glass/1.jpg", "split": "validation", "add": "metal",
                         "remove": "glass", "margin": 0.8}], "count": 1},
    problems=("PARAMETER_INVALID", *NOT_THERE),
)  # fmt: skip
def issues(project: str, job: str) -> Issues:
    """By confident learning, the likeliest first; images whose labels were mended since are left out."""
    asked, parts = read_query(IssuesQuery), context()
    model = open_model(training_row(job), asked.choice)
    found = [
        Issue(
            image=image_of(issue.image_id), name=None, split=issue.split, add=issue.add, remove=issue.remove,
            margin=round(issue.margin, 4),
        )
        for issue in label_issues(model, tuple(Split) if asked.training_images else UNSEEN)
    ]  # fmt: skip
    with parts.database.reading() as connection:
        standing = still_standing(connection, this_project().id, found)
    names = _names([issue.image for issue in standing[: asked.limit]])
    shown = [issue.model_copy(update={"name": names[issue.image]}) for issue in standing[: asked.limit]]
    return Issues(issues=shown, count=len(standing))


@recorded.get("/<id:job>/comparison")
@requires(Privilege.VIEW)
@described(
    Group.MODELS, "Compare two models", parameters=query(ComparisonQuery),
    example={"images": 328, "learnt_by_other": 0, "this_correct": 290, "other_correct": 280, "both_correct": 270,
             "neither_correct": 28, "p_value": 0.1, "only_this": ["m9Ls2VbXuRd"], "only_other": []},
    problems=("PARAMETER_INVALID", *IN_SPLIT, "OTHER_TASK", "NOTHING_IN_COMMON"),
)  # fmt: skip
def comparison(project: str, job: str) -> Compared:
    """On the same images: which is right where the other is wrong, and whether that could be chance."""
    asked = read_query(ComparisonQuery)
    row, other = training_row(job), training_row(asked.other)
    first, second = open_model(row, asked.choice), open_model(other, asked.other_choice)
    with context().database.reading() as connection:
        ours = saved_thresholds(connection, row.id, asked.choice, first.labels)
        theirs = saved_thresholds(connection, other.id, asked.other_choice, second.labels)
    found = compare(first, second, asked.split, ours, theirs)
    return Compared(
        images=found.images, learnt_by_other=found.learnt_by_second, this_correct=found.first_correct,
        other_correct=found.second_correct, both_correct=found.both_correct, neither_correct=found.neither_correct,
        p_value=found.p_value, only_this=[image_of(path) for path in found.only_first[:500]],
        only_other=[image_of(path) for path in found.only_second[:500]],
    )  # fmt: skip


this_project = project  # views have an argument of the name, as their addresses do


def _names(public_ids: Sequence[str]) -> dict[str, str]:
    """Of the images that the project still has."""
    asked = select(images.c.public_id, images.c.name).where(
        images.c.project_id == this_project().id, images.c.public_id.in_(public_ids)
    )
    with context().database.reading() as connection:
        return {row.public_id: row.name for row in connection.execute(asked)}


def _seen(said: ImagePrediction, names: dict[str, str]) -> Seen:
    image = image_of(said.image_id)
    return Seen(
        image=image, name=names.get(image), loss=said.loss, correct=said.correct, truth=list(said.truth),
        decided=list(said.decided), top=list(said.top),
    )  # fmt: skip


def _attachment(parts: Iterator[bytes], name: str, content_type: str) -> Response:
    response = Response(parts, content_type=content_type)
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return response
