"""Predictions as JSON: the bare list that cloud clients know, and the full answer of /v1.

Rounding keeps the order: scores leave sorted by their unrounded probability, and rounding never swaps two.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from time import perf_counter
from typing import Annotated, Any, NotRequired, cast

from flask import g, request
from pydantic import Field
from typing_extensions import TypedDict

from bundle.errors import ImageError
from bundle.manifest import Task
from server.context import context
from server.models.model import IMAGES_AT_ONCE, Prediction, ServedModel
from server.problems import problem_of
from server.request_facts import deadline_of, queue_seconds
from server.uploads import Upload, read_image

Probability = Annotated[float, Field(ge=0, le=1)]
Milliseconds = Annotated[float, Field(ge=0)]


class BareScore(TypedDict):
    label: str
    score: Annotated[float, Field(ge=0, le=100, description="calibrated probability in percent")]


class Score(TypedDict):
    label: str
    probability: Annotated[Probability, Field(description="calibrated")]
    threshold: Annotated[Probability, Field(description="from here on the label counts")]
    above: bool


class Timings(TypedDict):
    """Milliseconds; queue: until a thread took the request up."""

    queue: Milliseconds
    decode: Milliseconds
    inference: Milliseconds
    total: Milliseconds


class AnsweringModel(TypedDict):
    project: str
    model: str
    version: str
    task: Task


class ImageAnswer(TypedDict):
    labels: Annotated[list[str], Field(description="what the model claims; none where it is unknown")]
    unknown: Annotated[bool, Field(description="the image resembles nothing that the model was trained on")]
    scores: Annotated[list[Score], Field(description="highest first")]


class FullAnswer(AnsweringModel, ImageAnswer):
    timings_ms: Timings
    request_id: str


class NamedImageAnswer(ImageAnswer):
    name: NotRequired[Annotated[str, Field(description="the file's, as the client calls it")]]


class ImageProblem(TypedDict):
    status: int
    code: str
    detail: str


class RefusedImage(TypedDict):
    name: NotRequired[str]
    problem: ImageProblem


class ManyAnswers(AnsweringModel):
    results: Annotated[list[NamedImageAnswer | RefusedImage], Field(description="in the order of the images")]
    timings_ms: Timings
    request_id: str


BARE_EXAMPLE: Any = [{"label": "cardboard", "score": 98.3724}, {"label": "paper", "score": 1.6276}]
FULL_EXAMPLE: Any = {
    "project": "default", "model": "trash", "version": "1", "task": "single_label",
    "labels": ["cardboard"], "unknown": False,
    "scores": [
        {"label": "cardboard", "probability": 0.983724, "threshold": 0.0, "above": True},
        {"label": "paper", "probability": 0.016276, "threshold": 0.0, "above": True},
    ],
    "timings_ms": {"queue": 0.1, "decode": 2.4, "inference": 6.1, "total": 9.0},
    "request_id": "5a2f0c6de0b74c0f9d5a3f4c8e7b1a90",
}  # fmt: skip


@contextmanager
def leased_model(*projects: str, name: str, version: str | None = None) -> Iterator[ServedModel]:
    """The first project's model of this name, kept alive for the current request."""
    parts = context()
    with parts.registry.lease(projects, name, parts.settings.load_wait_s, version) as model:
        g.model, g.version = model.label, model.manifest.version
        yield model


def predict_one(model: ServedModel) -> Prediction:
    """The answer for the one image in the current request."""
    settings = context().settings
    prediction = model.predict(
        read_image(request, settings.max_image_bytes), deadline_of(request.environ, settings.request_timeout_s)
    )
    count_predictions(model, [prediction])
    return prediction


def count_predictions(model: ServedModel, answers: Sequence[Prediction | ImageError]) -> None:
    """Tell the metrics what the current request came to."""
    good = [each for each in answers if isinstance(each, Prediction)]
    context().metrics.predicted(
        model,
        len(answers),
        queue_seconds(request.environ),
        sum(each.decode_ms for each in good),
        inference_ms_of(answers),
        perf_counter() - g.started,
    )


def inference_ms_of(answers: Sequence[Prediction | ImageError]) -> float:
    """Of all runs of one request; images that ran together have one time."""
    runs = (answers[at : at + IMAGES_AT_ONCE] for at in range(0, len(answers), IMAGES_AT_ONCE))
    return sum(max((each.inference_ms for each in run if isinstance(each, Prediction)), default=0.0) for run in runs)


def bare_scores(prediction: Prediction) -> list[BareScore]:
    """`[{"label": "cat", "score": 97.3}]`, highest first; scores 0 to 100 with four decimals."""
    return [{"label": score.label, "score": round(score.probability * 100, 4)} for score in prediction.decision.scores]


def full_answer(
    model: ServedModel, prediction: Prediction, request_id: str, started: float, queue_s: float, top: int | None = None
) -> FullAnswer:
    """Everything there is to say of one image. probability and threshold in [0, 1]; times in milliseconds.

    started: of the request, by `perf_counter`.  queue_s: seconds it waited before.  top: how many scores to list.
    """
    return {
        **head(model),
        **image_answer(prediction, top),
        "timings_ms": _timings(prediction.decode_ms, prediction.inference_ms, started, queue_s),
        "request_id": request_id,
    }


def many_answers(
    model: ServedModel,
    uploads: Sequence[Upload],
    answers: Sequence[Prediction | ImageError],
    request_id: str,
    started: float,
    queue_s: float,
    top: int | None = None,
) -> ManyAnswers:
    """`full_answer` for many images: `results` in their order, each an answer, or the problem of that image alone."""
    results: list[NamedImageAnswer | RefusedImage] = []
    for upload, answer in zip(uploads, answers, strict=True):
        result: NamedImageAnswer | RefusedImage
        if isinstance(answer, Prediction):
            result = cast(NamedImageAnswer, image_answer(answer, top))
        else:
            problem = problem_of(answer, request_id)
            result = {"problem": {"status": int(problem.status), "code": problem.code, "detail": problem.detail}}
        if upload.name:
            result["name"] = upload.name
        results.append(result)
    good = [each for each in answers if isinstance(each, Prediction)]
    decode_ms = sum(each.decode_ms for each in good)
    return {
        **head(model),
        "results": results,
        "timings_ms": _timings(decode_ms, inference_ms_of(answers), started, queue_s),
        "request_id": request_id,
    }


def head(model: ServedModel) -> AnsweringModel:
    """Which model answers."""
    return {
        "project": model.facts.project,
        "model": model.manifest.name,
        "version": model.manifest.version,
        "task": model.manifest.task,
    }


def image_answer(prediction: Prediction, top: int | None) -> ImageAnswer:
    """What is said of one image. top: how many scores to list, all where None."""
    decision = prediction.decision
    return {
        "labels": list(decision.labels),
        "unknown": decision.unknown,
        "scores": [
            {
                "label": score.label,
                "probability": round(score.probability, 6),
                "threshold": score.threshold,
                "above": score.above,
            }
            for score in decision.scores[:top]
        ],
    }


def _timings(decode_ms: float, inference_ms: float, started: float, queue_s: float) -> Timings:
    return {
        "queue": round(queue_s * 1e3, 2),
        "decode": round(decode_ms, 2),
        "inference": round(inference_ms, 2),
        "total": round((perf_counter() - started + queue_s) * 1e3, 2),
    }
