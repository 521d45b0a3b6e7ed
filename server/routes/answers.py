"""Predictions as JSON: the bare list that cloud clients know, and the full answer of /v1.

Rounding keeps the order: scores leave sorted by their unrounded probability, and rounding never swaps two.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from time import perf_counter
from typing import Any

from flask import g, request

from bundle.errors import ImageError
from server.context import context
from server.models.model import Prediction, ServedModel
from server.problems import problem_of
from server.request_facts import queue_seconds
from server.uploads import Upload, read_image


@contextmanager
def leased_model(*projects: str, name: str, version: str | None = None) -> Iterator[ServedModel]:
    """The first project's model of this name, kept alive for the current request."""
    parts = context()
    with parts.registry.lease(projects, name, parts.settings.load_wait_s, version) as model:
        g.model = model.label
        yield model


def predict_one(model: ServedModel) -> Prediction:
    """The answer for the one image in the current request."""
    prediction = model.predict(read_image(request, context().settings.max_image_bytes))
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
        max((each.inference_ms for each in good), default=0.0),
        perf_counter() - g.started,
    )


def bare_scores(prediction: Prediction) -> list[dict[str, Any]]:
    """`[{"label": "cat", "score": 97.3}]`, highest first; scores 0 to 100 with four decimals."""
    return [{"label": score.label, "score": round(score.probability * 100, 4)} for score in prediction.decision.scores]


def full_answer(
    model: ServedModel, prediction: Prediction, request_id: str, started: float, queue_s: float, top: int | None = None
) -> dict[str, Any]:
    """Everything there is to say of one image. probability and threshold in [0, 1]; times in milliseconds.

    started: of the request, by `perf_counter`.  queue_s: seconds it waited before.  top: how many scores to list.
    """
    return {
        **_head(model),
        **_image_answer(prediction, top),
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
) -> dict[str, Any]:
    """`full_answer` for many images: `results` in their order, each an answer, or the problem of that image alone."""
    results: list[dict[str, Any]] = []
    for upload, answer in zip(uploads, answers, strict=True):
        name = {"name": upload.name} if upload.name else {}
        if isinstance(answer, Prediction):
            results.append({**name, **_image_answer(answer, top)})
        else:
            problem = problem_of(answer, request_id)
            results.append(
                {**name, "problem": {"status": int(problem.status), "code": problem.code, "detail": problem.detail}}
            )
    good = [each for each in answers if isinstance(each, Prediction)]
    decode_ms = sum(each.decode_ms for each in good)
    inference_ms = max((each.inference_ms for each in good), default=0.0)
    return {
        **_head(model),
        "results": results,
        "timings_ms": _timings(decode_ms, inference_ms, started, queue_s),
        "request_id": request_id,
    }


def _head(model: ServedModel) -> dict[str, Any]:
    return {
        "project": model.facts.project,
        "model": model.manifest.name,
        "version": model.manifest.version,
        "task": model.manifest.task.value,
    }


def _image_answer(prediction: Prediction, top: int | None) -> dict[str, Any]:
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


def _timings(decode_ms: float, inference_ms: float, started: float, queue_s: float) -> dict[str, float]:
    return {
        "queue": round(queue_s * 1e3, 2),
        "decode": round(decode_ms, 2),
        "inference": round(inference_ms, 2),
        "total": round((perf_counter() - started + queue_s) * 1e3, 2),
    }
