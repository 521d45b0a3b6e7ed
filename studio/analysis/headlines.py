"""The few figures of a model that a list shows; read once for as long as its file stays as it is."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from bundle.manifest import MetricEstimate, Task
from trainer.data.split import Split
from trainer.run_folder import RunFolder
from trainer.statistics import models_from_json


@dataclass(frozen=True, slots=True)
class Headline:
    """Of the best model, on test images where there are any, else on validation images, else on training images."""

    task: Task
    labels: int
    split: Split
    metrics: dict[str, MetricEstimate]


def headline_of(run: RunFolder) -> Headline | None:
    """None where the run has no figures: not yet, or no more."""
    try:
        return _read(run.statistics_path, run.statistics_path.stat().st_mtime_ns)
    except OSError:
        return None


@lru_cache(maxsize=256)
def _read(path: Path, _written_ns: int) -> Headline | None:
    try:
        best = models_from_json(path.read_text(encoding="utf-8"))["best"]
    except (ValueError, KeyError):
        return None
    for split in (Split.TEST, Split.VALIDATION, Split.TRAIN):
        if split.value in best.splits:
            return Headline(best.task, len(best.labels), split, best.splits[split.value].metrics)
    return None
