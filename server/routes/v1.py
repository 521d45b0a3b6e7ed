"""Our own calls: which models there are, everything about one, and the full answer for an image."""

from __future__ import annotations

from typing import Annotated, Any, Literal, NotRequired

from flask import Blueprint, g, request
from pydantic import Field
from typing_extensions import TypedDict

from bundle.manifest import Calibration, MetricEstimate, Precision, PreprocessSpec, Task, UnknownRejection
from server.auth import requires
from server.context import context
from server.models.model import ServedModel
from server.models.registry import Phase
from server.openapi.describe import BINARY, TEXT, Content, Group, Parameter, described
from server.openapi.problems import ANSWERING, MODEL, UPLOAD
from server.problems import Problem
from server.request_facts import deadline_of, queue_seconds
from server.routes.answers import (
    FULL_EXAMPLE,
    FullAnswer,
    ManyAnswers,
    Probability,
    count_predictions,
    full_answer,
    leased_model,
    many_answers,
)
from server.routes.loading import LOADING_EXAMPLE, LoadingModel, loading_models
from server.routes.predict import IMAGE_BODY
from server.tokens import Scope
from server.uploads import read_images

v1 = Blueprint("v1", __name__, url_prefix="/v1")


class Workers(TypedDict):
    """The server's web workers. in_step: all of them serve the same models."""

    count: int
    in_step: bool


class ModelSummary(TypedDict):
    project: str
    name: str
    version: str
    task: Task
    state: Literal["ready"]
    bundle: Annotated[str, Field(description="the file's name")]
    label_count: int
    providers: Annotated[list[str], Field(description="what really runs it, the most important first")]
    device: Annotated[str, Field(description="where: `CPU`, or the board's name")]
    library: Annotated[str, Field(description="whose code, with its version")]
    precision: Annotated[Precision, Field(description="of the form that runs")]


class Standby(TypedDict):
    """A verified version that is not loaded."""

    project: str
    name: str
    version: str
    bundle: str


class Failed(TypedDict):
    """A bundle that does not serve. name, version: null where it could not be verified."""

    project: str
    bundle: str
    name: str | None
    version: str | None
    code: str
    reason: str
    earlier_copy_serves: bool


class ModelList(TypedDict):
    status: Phase
    workers: Workers
    models: list[ModelSummary]
    loading: Annotated[list[LoadingModel], Field(description="in an engine process, on their way")]
    standby: list[Standby]
    failed: list[Failed]


class Label(TypedDict):
    label: str
    threshold: Annotated[Probability, Field(description="from here on the label counts")]


class Model(ModelSummary):
    """What the signed manifest says of a model, and what was found when it was loaded."""

    created_at: str
    labels: list[Label]
    preprocessing: PreprocessSpec
    calibration: Calibration
    unknown: UnknownRejection | None
    metrics: Annotated[dict[str, dict[str, MetricEstimate]], Field(description="split, then metric")]
    golden_difference: Annotated[float, Field(description="largest seen when its golden images were replayed here")]
    model_id: Annotated[str, Field(description="SHA-256 of the ONNX file")]
    bundle_sha256: Annotated[str, Field(description="SHA-256 of the manifest")]
    key_id: Annotated[str, Field(description="who signed it")]


Base64 = Annotated[
    str, Field(description="base64, or a data: URL of it", json_schema_extra={"contentEncoding": "base64"})
]


class NamedImage(TypedDict):
    data: Base64
    name: NotRequired[str]


class OneImage(TypedDict):
    image: Base64 | NamedImage


class ManyImages(TypedDict):
    images: Annotated[list[Base64 | NamedImage], Field(min_length=1)]


TOP = Parameter("top", "query", "How many scores to list; all without it.",
                {"type": "integer", "minimum": 1, "maximum": 999_999})  # fmt: skip
VERSION = Parameter("version", "query", "Another version than the highest that serves.", TEXT)
MANY_FILES = {
    "type": "object",
    "properties": {"images": {"type": "array", "items": BINARY, "minItems": 1}},
    "required": ["images"],
}
IMAGES_BODY = (
    IMAGE_BODY[0],
    Content("multipart/form-data", MANY_FILES, "A form with one file or many, whatever the fields' names."),
    Content("application/json", OneImage | ManyImages, "Images as base64.", {"image": "/9j/4AAQSkZJRg=="}),
)
CLIENT_SAMPLE = """\
import os
from onsight import Client

with Client("http://localhost:8000", token=os.environ["ONSIGHT_TOKEN"], model="trash") as client:
    answer = client.predict("photo.jpg")
    print(answer.labels, answer.unknown)
"""
SUMMARY_EXAMPLE: Any = {
    "project": "default", "name": "trash", "version": "2", "task": "single_label", "state": "ready",
    "bundle": "trash-2.onsight", "label_count": 2, "providers": ["CPUExecutionProvider"],
    "device": "CPU", "library": "ONNX Runtime 1.32.0", "precision": "int8",
}  # fmt: skip
LIST_EXAMPLE: Any = {
    "status": "ready",
    "workers": {"count": 2, "in_step": True},
    "models": [SUMMARY_EXAMPLE],
    "loading": [LOADING_EXAMPLE],
    "standby": [{"project": "default", "name": "trash", "version": "1", "bundle": "trash-1.onsight"}],
    "failed": [],
}
MODEL_EXAMPLE: Any = {
    **SUMMARY_EXAMPLE,
    "created_at": "2026-01-31T12:00:00Z",
    "labels": [{"label": "cardboard", "threshold": 0.0}, {"label": "paper", "threshold": 0.0}],
    "preprocessing": {"version": 2, "height": 224, "width": 224, "resize": "squash", "crop_fraction": 1.0,
                      "jpeg_scaled_decode": True},
    "calibration": {"temperature": 1.2, "fitted_on": "validation", "ece_before": 0.04, "ece_after": 0.02},
    "unknown": {"method": "energy", "energy_threshold": 4.1, "known_rejected_fraction": 0.01},
    "metrics": {"test": {"accuracy": {"value": 0.88, "low": 0.85, "high": 0.91}}},
    "golden_difference": 1e-7,
    "model_id": "9f2c" + "0" * 60, "bundle_sha256": "1b7e" + "0" * 60, "key_id": "3a5d" + "0" * 60,
}  # fmt: skip


@v1.get("/models")
@requires(Scope.PREDICT)
@described(Group.MODELS, "All models", example=LIST_EXAMPLE)
def list_models() -> ModelList:
    """Models that serve, verified versions that stand by, and bundles that failed, with reasons."""
    registry = context().registry
    return {
        "status": registry.phase,
        "workers": workers(),
        "models": [_summary(model) for model in registry.models],
        "loading": loading_models(context()),
        "standby": [
            {"project": one.project, "name": one.name, "version": one.version, "bundle": one.file_name}
            for one in registry.standby
        ],
        "failed": [
            {
                "project": one.project,
                "bundle": one.file_name,
                "name": one.name,
                "version": one.version,
                "code": one.code,
                "reason": one.reason,
                "earlier_copy_serves": one.kept,
            }
            for one in registry.failures
        ],
    }


@v1.get("/models/<name:project>/<name:name>")
@requires(Scope.PREDICT)
@described(Group.MODELS, "One model", example=MODEL_EXAMPLE, problems=MODEL)
def describe_model(project: str, name: str) -> Model:
    """Labels, thresholds, preprocessing, calibration, figures, signer; of the highest version that serves."""
    model = context().registry.get((project,), name)
    manifest = model.manifest
    return {
        **_summary(model),
        "created_at": manifest.created_at,
        "labels": [
            {"label": label, "threshold": threshold}
            for label, threshold in zip(manifest.labels, manifest.thresholds, strict=True)
        ],
        "preprocessing": manifest.preprocessing,
        "calibration": manifest.calibration,
        "unknown": manifest.unknown,
        "metrics": manifest.metrics,
        "golden_difference": model.golden_difference,
        "model_id": manifest.model_id,
        "bundle_sha256": model.facts.manifest_sha256,
        "key_id": model.facts.key_id,
    }


@v1.post("/predict/<name:project>/<name:name>")
@requires(Scope.PREDICT)
@described(
    Group.PREDICT, "Classify images, with everything there is to say",
    parameters=(TOP, VERSION), body=IMAGES_BODY, example=FULL_EXAMPLE,
    problems=(*ANSWERING, *UPLOAD, "JSON_INVALID", "TOO_MANY_IMAGES", "PARAMETER_INVALID"),
    samples={"onsight": CLIENT_SAMPLE},
)  # fmt: skip
def predict(project: str, name: str) -> FullAnswer | ManyAnswers:
    """Decision, thresholds, "unknown" and times. Of many images, `results` has an answer for each in their order, or
    the problem of that image alone.
    """
    top, settings = _top(), context().settings
    with leased_model(project, name=name, version=request.args.get("version")) as model:
        uploads, many = read_images(
            request, settings.max_image_bytes, settings.max_request_bytes, settings.max_images_per_request
        )
        waited = queue_seconds(request.environ)
        deadline = deadline_of(request.environ, settings.request_timeout_s)
        if not many:
            prediction = model.predict(uploads[0].data, deadline)
            count_predictions(model, [prediction])
            return full_answer(model, prediction, g.request_id, g.started, waited, top)
        answers = model.predict_many([upload.data for upload in uploads], deadline)
        count_predictions(model, answers)
        return many_answers(model, uploads, answers, g.request_id, g.started, waited, top)


def workers() -> Workers:
    changes = context().changes
    return {"count": changes.worker_count, "in_step": changes.in_step}


def _summary(model: ServedModel) -> ModelSummary:
    return {
        "project": model.facts.project,
        "name": model.manifest.name,
        "version": model.manifest.version,
        "task": model.manifest.task,
        "state": "ready",
        "bundle": model.facts.file_name,
        "label_count": len(model.manifest.labels),
        "providers": list(model.engine.providers),
        "device": model.engine.device,
        "library": model.engine.library,
        "precision": model.variant.precision,
    }


def _top() -> int | None:
    text = request.args.get("top")
    if text is None:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 6 or int(text) < 1:
        raise Problem(400, "PARAMETER_INVALID", "top: expected a whole number from 1.")
    return int(text)
