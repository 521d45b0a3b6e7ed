"""Predictions as JSON: the bare list that cloud clients know, and the full answer of /v1.

Rounding keeps the order: scores leave sorted by their unrounded probability, and rounding never swaps two.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Any

from flask import g, request

from server.context import context
from server.models.model import Prediction, ServedModel
from server.uploads import read_image


@contextmanager
def leased_model(*projects: str, name: str) -> Iterator[ServedModel]:
    """The first project's model of this name, kept alive for the current request."""
    parts = context()
    with parts.registry.lease(projects, name, wait_s=parts.settings.load_wait_s) as model:
        g.model = model.label
        yield model


def predict_one(model: ServedModel) -> Prediction:
    """The answer for the one image in the current request."""
    return model.predict(read_image(request, context().settings.max_image_bytes))


def bare_scores(prediction: Prediction) -> list[dict[str, Any]]:
    """`[{"label": "cat", "score": 97.3}]`, highest first; scores 0 to 100 with four decimals."""
    return [{"label": score.label, "score": round(score.probability * 100, 4)} for score in prediction.decision.scores]


def full_answer(
    model: ServedModel, prediction: Prediction, request_id: str, started: float, queue_s: float, top: int | None = None
) -> dict[str, Any]:
    """Everything there is to say. probability and threshold in [0, 1]; times in milliseconds.

    started: of the request, by `perf_counter`.  queue_s: seconds it waited before.  top: how many scores to list.
    """
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
            "queue": round(queue_s * 1e3, 2),
            "decode": round(prediction.decode_ms, 2),
            "inference": round(prediction.inference_ms, 2),
            "total": round((perf_counter() - started + queue_s) * 1e3, 2),
        },
        "request_id": request_id,
    }
