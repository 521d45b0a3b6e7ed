"""Our own calls: which models there are, everything about one, and the full answer for an image."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, g, jsonify, request

from server.auth import requires
from server.context import context
from server.models.model import ServedModel
from server.problems import Problem
from server.request_facts import queue_seconds
from server.routes.answers import count_predictions, full_answer, leased_model, many_answers
from server.tokens import Scope
from server.uploads import read_images

v1 = Blueprint("v1", __name__, url_prefix="/v1")


@v1.get("/models")
@requires(Scope.PREDICT)
def list_models() -> Response:
    """Models that serve, verified versions that wait behind a higher one, and bundles that failed, with reasons."""
    registry, changes = context().registry, context().changes
    return jsonify(
        status=registry.phase.value,
        workers={"count": changes.worker_count, "in_step": changes.in_step},
        models=[_summary(model) for model in registry.models],
        standby=[
            {"project": one.project, "name": one.name, "version": one.version, "bundle": one.file_name}
            for one in registry.standby
        ],
        failed=[
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
    )


@v1.get("/models/<name:project>/<name:name>")
@requires(Scope.PREDICT)
def describe_model(project: str, name: str) -> Response:
    parts = context()
    model = parts.registry.get((project,), name)
    manifest = model.manifest
    return jsonify(
        **_summary(model),
        created_at=manifest.created_at,
        labels=[
            {"label": label, "threshold": threshold}
            for label, threshold in zip(manifest.labels, manifest.thresholds, strict=True)
        ],
        preprocessing=manifest.preprocessing.model_dump(mode="json"),
        calibration=manifest.calibration.model_dump(mode="json"),
        unknown=manifest.unknown.model_dump(mode="json") if manifest.unknown else None,
        metrics={
            split: {name: estimate.model_dump(mode="json") for name, estimate in metrics.items()}
            for split, metrics in manifest.metrics.items()
        },
        golden_difference=model.golden_difference,
        model_id=manifest.model_id,
        bundle_sha256=model.facts.manifest_sha256,
        key_id=model.facts.key_id,
    )


@v1.post("/predict/<name:project>/<name:name>")
@requires(Scope.PREDICT)
def predict(project: str, name: str) -> Response:
    """One image, or many; `?top=` lists fewer scores, `?version=` asks another version than the highest."""
    top, settings = _top(), context().settings
    with leased_model(project, name=name, version=request.args.get("version")) as model:
        uploads, many = read_images(
            request, settings.max_image_bytes, settings.max_request_bytes, settings.max_images_per_request
        )
        waited = queue_seconds(request.environ)
        if not many:
            prediction = model.predict(uploads[0].data)
            count_predictions(model, [prediction])
            return jsonify(full_answer(model, prediction, g.request_id, g.started, waited, top))
        answers = model.predict_many([upload.data for upload in uploads])
        count_predictions(model, answers)
        return jsonify(many_answers(model, uploads, answers, g.request_id, g.started, waited, top))


def _summary(model: ServedModel) -> dict[str, Any]:
    return {
        "project": model.facts.project,
        "name": model.manifest.name,
        "version": model.manifest.version,
        "task": model.manifest.task.value,
        "state": "ready",
        "bundle": model.facts.file_name,
        "label_count": len(model.manifest.labels),
        "providers": list(model.engine.providers),
    }


def _top() -> int | None:
    text = request.args.get("top")
    if text is None:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 6 or int(text) < 1:
        raise Problem(400, "PARAMETER_INVALID", "top: expected a whole number from 1.")
    return int(text)
