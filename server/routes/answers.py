"""Predictions as JSON: the bare list that cloud clients know, and the full answer of /v1.

Rounding keeps the order: scores leave sorted by their unrounded probability, and rounding never swaps two.
"""

from __future__ import annotations

from time import perf_counter
from typing import Any

from flask import g, request

from server.context import context
from server.models.model import Prediction, ServedModel
from server.uploads import read_image


def predict_request(*projects: str, name: str) -> tuple[ServedModel, Prediction]:
    """Answer the image in the current request with the first project's model of this name."""
    parts = context()
    model = parts.registry.get(projects, name, wait_s=parts.settings.load_wait_s)
    g.model = f"{model.facts.project}/{model.manifest.name}"
    return model, model.predict(read_image(request, parts.settings.max_image_bytes))


def bare_scores(prediction: Prediction) -> list[dict[str, Any]]:
    """`[{"label": "cat", "score": 97.3}]`, highest first; scores 0 to 100 with four decimals."""
    return [{"label": score.label, "score": round(score.probability * 100, 4)} for score in prediction.decision.scores]


def full_answer(model: ServedModel, prediction: Prediction, top: int | None = None) -> dict[str, Any]:
    """Everything there is to say. probability and threshold in [0, 1]; top: how many scores to list."""
    decision = prediction.decision
    return {
        "project": model.facts.project,
        "model": model.manifest.name,
        "version": model.manifest.version,
        "task": model.manifest.task.value,
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
        "timings_ms": {
            "decode": round(prediction.decode_ms, 2),
            "inference": round(prediction.inference_ms, 2),
            "total": round((perf_counter() - g.started) * 1e3, 2),
        },
        "request_id": g.request_id,
    }
