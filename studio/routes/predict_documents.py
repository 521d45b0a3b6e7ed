"""What predictions ask and answer, as types: queries, answers, heatmaps, the state of a model."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from bundle.manifest import Task
from server.routes.answers import Milliseconds, NamedImageAnswer, RefusedImage
from studio.routes.wire import In, Out, PublicId
from trainer.run_folder import ModelChoice

ANSWER_EXAMPLE: Any = {
    "project": "p3Wn8rTyKea", "model": "trash", "version": "h4sTqXv9b2c", "task": "single_label", "choice": "best",
    "results": [{
        "labels": ["cardboard"], "unknown": False, "name": "1.jpg",
        "scores": [{"label": "cardboard", "probability": 0.983724, "threshold": 0.0, "above": True},
                   {"label": "paper", "probability": 0.016276, "threshold": 0.0, "above": True}],
    }],
    "timings_ms": {"decode": 2.4, "inference": 6.1}, "request_id": "5a2f0c6de0b74c0f9d5a3f4c8e7b1a90",
}  # fmt: skip


class ModelQuery(In):
    choice: ModelChoice = Field(default="best", description="The one with the lowest validation loss, or the last.")
    image: Annotated[list[PublicId], Field(max_length=100)] = Field(
        default=[], description="A stored image of the project in place of a body; several times for several."
    )


class PredictQuery(ModelQuery):
    threshold: Annotated[list[Annotated[str, Field(max_length=220)]], Field(max_length=100)] = Field(
        default=[],
        description="`label:0.7`, in place of the saved one; several times for several labels, `*:0.7` for all.",
    )
    top: int = Field(default=1000, ge=1, le=100_000, description="How many scores of an image to list.")
    format: Literal["json", "csv", "zip"] = Field(
        default="json",
        description="`csv`: a row an image. `zip`: images in folders by predicted label, and the table.",
    )


class HeatmapQuery(ModelQuery):
    label: Annotated[str, Field(max_length=200)] = Field(default="", description="The most probable without it.")


class Times(Out):
    """Milliseconds, of all images together."""

    decode: Milliseconds
    inference: Milliseconds


class PredictAnswer(Out):
    project: PublicId
    model: str
    version: str = Field(description="the training's id, with `-last` for its last model")
    task: Task
    choice: ModelChoice
    results: list[NamedImageAnswer | RefusedImage] = Field(description="in the order of the images")
    timings_ms: Times
    request_id: str


class Area(Out):
    """The part of the upright picture that the model sees, as fractions of its sides."""

    left: float
    top: float
    right: float
    bottom: float


class HeatmapAnswer(Out):
    label: str
    probability: float
    values: list[list[float]] = Field(
        description="rows of cells; loss of the label's log-odds where the cell is covered, so positive: it speaks for"
        " the label"
    )
    area: Area
    evaluations: int
    seconds: float


class LabelThreshold(Out):
    label: str
    threshold: float


class ReadyModel(Out):
    choice: ModelChoice
    readiness: Literal["ready", "preparing", "absent", "failed", "untrained"] = Field(
        description="absent: it is made when somebody predicts"
    )
    since_s: float = Field(description="of preparing")
    usual_s: float = Field(description="what preparing takes, mostly")
    detail: str = Field(description="why it failed, for people; else empty")
    version: str = Field(description="in the inference API")
    labels: list[LabelThreshold] = Field(description="in the model's order, with the thresholds that hold now")


class PredictState(Out):
    project: PublicId
    training: PublicId
    name: str = Field(description="the training's")
    model: str = Field(description="its name in the inference API")
    task: Task
    address: str = Field(description="where people reach this studio")
    inference_api: bool = Field(description="whether `/v1`, `/v2` and `/api/predict` answer here")
    models: list[ReadyModel]
