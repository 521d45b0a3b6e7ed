"""Triton's statistics of models, from the counters that Prometheus reads too: of all workers, since the start."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from server.context import context
from server.models.model import ServedModel
from server.routes.v2_documents import Duration, ModelStatistics
from server.routes.v2_names import v2_name


def statistics_of(models: Iterable[ServedModel]) -> list[ModelStatistics]:
    """In the order of the models."""
    counted = context().metrics.counts()
    return [_of_model(model, counted.get(_labels(model), {})) for model in models]


def _labels(model: ServedModel) -> tuple[str, ...]:
    return model.facts.project, model.manifest.name, model.manifest.version


def _of_model(model: ServedModel, counts: Mapping[str, float]) -> ModelStatistics:
    answered = _count(counts, "nv_inference_request_success_total")
    nothing: Duration = {"count": 0, "ns": 0}

    def took(which: str) -> Duration:
        return {"count": answered, "ns": _count(counts, f"nv_inference_{which}_duration_us_total", 1000)}

    return {
        "name": v2_name(model.facts.project, model.manifest.name),
        "version": model.manifest.version,
        "last_inference": _count(counts, "onsight_last_prediction_timestamp_seconds", 1000),
        "inference_count": _count(counts, "nv_inference_count_total"),
        "execution_count": _count(counts, "nv_inference_exec_count_total"),
        "inference_stats": {
            "success": took("request"),
            "fail": {"count": _count(counts, "nv_inference_request_failure_total"), "ns": 0},
            "queue": took("queue"),
            "compute_input": took("compute_input"),
            "compute_infer": took("compute_infer"),
            "compute_output": {"count": answered, "ns": 0},
            "cache_hit": nothing,
            "cache_miss": nothing,
        },
        "batch_stats": [],
    }


def _count(counts: Mapping[str, float], name: str, factor: int = 1) -> int:
    return round(counts.get(name, 0.0) * factor)
